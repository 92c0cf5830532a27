//! The contract between the collector and each kind of sink: from its settings to a sink that can be started.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::WhenFull;
use model::{Period, Problem, Remembered, Role};
use store::access::Access;

use super::gate::Gate;
use super::{Sink, SinkError};

/// A kind of sink, implemented by its settings. All kinds are listed in [`crate::config`].
pub trait SinkKind {
    /// Returns the part that a sink with these settings plays.
    fn role(&self) -> Role {
        Role::Copy
    }

    /// Returns everything that is wrong with the settings, whose keys begin with `section`.
    fn validate(&self, section: &str) -> Vec<Problem>;

    /// Returns the destination of the rows.
    fn target(&self, workdir: &Path) -> Target;

    /// Describes the sink to start.
    fn build(&self, context: &BuildContext<'_>) -> SinkSpec;

    /// Reads the positions in the pinned rings that an earlier run saved, in this store or in the `other` one, whose place this one
    /// has taken; asked of the store only.
    ///
    /// # Errors
    /// The destination can't be read.
    fn remembered(&self, _workdir: &Path, _other: &Path) -> Result<Remembered, SinkError> {
        Ok(Remembered::default())
    }
}

/// A destination of rows. A sink that follows another one with the same target waits until that has closed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file. Whether it can be written is checked before a sink with this target is started.
    File(PathBuf),
    /// Anything else. Equal names mean the same destination.
    Named(&'static str),
}

impl Target {
    /// Returns the file, if the target is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Named(_) => None,
        }
    }
}

/// Everything besides its settings that a sink is built from.
pub struct BuildContext<'a> {
    /// The agent's work folder.
    pub workdir: &'a Path,
    /// Id that rows are stored under.
    pub collector_id: &'a str,
    /// The group that may read the rows, if there is one.
    pub access: Access,
    /// Whether the store takes new rows.
    pub gate: &'a Gate,
    /// State of the predecessor on the same target.
    pub before: &'a CarriedOver,
    /// Path of the file that a store of the other kind has in this work folder.
    pub other_store: &'a Path,
    /// The run of the store, which it sets itself.
    pub store_run: &'a StoreRun,
}

/// The run of the store. Additional outputs that have the same rows note it with them.
pub type StoreRun = Arc<Mutex<Option<String>>>;

/// Describes a sink to start: one of the configuration, or the host that this agent reports to as its child.
pub struct SinkSpec {
    /// Capacity of the sink's queue in batches, and what happens when it is full.
    pub queue: (u32, WhenFull),
    /// When the sink writes, and how long it retries.
    pub pace: Pace,
    /// Makes the sink; called for each incarnation of its actor.
    pub make: Box<dyn Fn() -> Box<dyn Sink> + Send + Sync>,
    /// State for a successor on the same target.
    pub carried_over: CarriedOver,
}

/// When a sink writes, and how long it retries.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Number of rows that are written at once.
    pub batch: usize,
    /// Time after which fewer rows are written.
    pub flush_interval: Duration,
    /// Time for which a failed write is retried.
    pub retry_for: Duration,
}

impl Pace {
    /// Writes each batch at once, and does not retry.
    pub const AT_ONCE: Self = Self { batch: 1, flush_interval: Duration::ZERO, retry_for: Duration::ZERO };

    /// Writes this many rows at once, fewer after the interval, and retries for that long.
    pub(crate) fn new(batch: u32, flush_interval: Period, retry_for: Period) -> Self {
        Self { batch: batch as usize, flush_interval: flush_interval.0, retry_for: retry_for.0 }
    }
}

/// State that a sink takes over from its predecessor on the same target. Only the sink's own kind knows its type.
#[derive(Clone, Default)]
pub struct CarriedOver(Option<Arc<dyn Any + Send + Sync>>);

impl CarriedOver {
    /// Wraps the state.
    pub fn new(state: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(state)))
    }

    /// Returns the state, if it is of this type.
    pub fn get<T: Any + Clone>(&self) -> Option<T> {
        self.0.as_deref()?.downcast_ref().cloned()
    }
}
