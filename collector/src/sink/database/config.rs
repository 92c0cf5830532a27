//! Settings that all sinks with a SQLite file have in common.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::WhenFull;
use model::lock::lock;
use model::{Period, Problem, Remembered, Role, Size};
use serde::{Deserialize, Serialize};

use super::file::Shared;
use super::takeover;
use super::{Synchronous, shared};
use crate::checks::Checks;
use crate::sink::kind::{BuildContext, CarriedOver, Pace, SinkKind, SinkSpec, StoreRun, Target};
use crate::sink::{Sink, SinkError};

/// The tables of a SQLite file, and the sink that writes them.
pub(crate) trait Layout {
    /// Name of the file in the work folder, unless the section sets a path.
    const FILE: &'static str;
    /// Whether the sink is disabled unless the section says otherwise.
    const DISABLED: bool;

    /// Makes the sink; its first call opens the file.
    fn sink(path: PathBuf, making: Making) -> Box<dyn Sink>;
}

/// Everything besides the path of its file that a sink is made with.
pub(crate) struct Making {
    pub(crate) durability: (Synchronous, Size),
    pub(crate) shared: Shared,
    /// The run of the store that has the same rows; only if this sink is an additional output.
    pub(crate) copies: Option<StoreRun>,
}

/// Settings of a sink that writes rows of layout `L` to a SQLite file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, bound(serialize = "", deserialize = "L: Layout"))]
pub struct DatabaseConfig<L> {
    /// Disables the store.
    pub disabled: bool,
    /// Path of the file, relative to the work folder; empty: the name that the layout gives it.
    pub path: String,
    /// Rows written in one transaction.
    pub batch: u32,
    /// Time after which fewer rows than a full batch are written.
    pub flush_interval: Period,
    /// Number of batches that may wait for this sink.
    pub queue: u32,
    /// Action when the queue is full: `block` makes the sources wait, `drop` loses the newest batch and counts it.
    pub when_full: WhenFull,
    /// Durability of a commit: `off`, `normal`, `full`.
    pub synchronous: Synchronous,
    /// Time for which a write is retried after an error that may pass (a locked file). After that its rows are lost,
    /// and counted.
    pub retry_for: Period,
    /// Size up to which SQLite looks through the whole file for damage, once at the start, beside everything else.
    pub check_limit: Size,
    /// True if another sink has the role of the store. Not a setting: it follows from which sinks are enabled.
    #[serde(skip)]
    pub(crate) is_copy: bool,
    #[serde(skip)]
    layout: PhantomData<L>,
}

impl<L: Layout> Default for DatabaseConfig<L> {
    fn default() -> Self {
        Self {
            disabled: L::DISABLED,
            path: String::new(),
            batch: 4096,
            flush_interval: Period(Duration::from_millis(200)),
            queue: 16,
            when_full: WhenFull::Block,
            synchronous: Synchronous::default(),
            retry_for: Period(Duration::from_secs(5)),
            check_limit: Size(64 << 20),
            is_copy: false,
            layout: PhantomData,
        }
    }
}

#[expect(private_bounds, reason = "no other crate adds a layout")]
impl<L: Layout> DatabaseConfig<L> {
    /// Returns the path of the file, whether the store is enabled or not.
    pub fn file(&self, workdir: &Path) -> PathBuf {
        workdir.join(if self.path.is_empty() { L::FILE } else { &self.path })
    }
}

impl<L: Layout> SinkKind for DatabaseConfig<L> {
    fn role(&self) -> Role {
        if self.is_copy { Role::Copy } else { Role::Store }
    }

    fn validate(&self, section: &str) -> Vec<Problem> {
        let checks = Checks::of(section).positive("batch", self.batch).positive("queue", self.queue);
        checks.interval("flush_interval", self.flush_interval).problems()
    }

    fn target(&self, workdir: &Path) -> Target {
        Target::File(self.file(workdir))
    }

    fn build(&self, context: &BuildContext<'_>) -> SinkSpec {
        let path = self.file(context.workdir);
        let shared =
            shared(context, || (!self.is_copy).then(|| takeover::id(&path, context.other_store)).flatten());
        if !self.is_copy {
            *lock(context.store_run) = Some(shared.run.run_id.clone());
        }
        let copies = self.is_copy.then(|| context.store_run.clone());
        let carried_over = CarriedOver::new(shared.clone());
        let durability = (self.synchronous, self.check_limit);
        SinkSpec {
            queue: (self.queue, self.when_full),
            pace: Pace::new(self.batch, self.flush_interval, self.retry_for),
            make: Box::new(move || {
                let (shared, copies) = (shared.clone(), copies.clone());
                L::sink(path.clone(), Making { durability, shared, copies })
            }),
            carried_over,
        }
    }

    fn remembered(&self, workdir: &Path, other: &Path) -> Result<Remembered, SinkError> {
        takeover::remembered(&self.file(workdir), other)
    }
}
