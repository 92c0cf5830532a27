//! The parts of the agent that the tracers of this crate depend on.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use actors::Outbox;
use model::lock::{read, write};
use model::{Accounts, Batch, TracerName};

use crate::launch::Launcher;

/// Destination and accounts of records, and how programs are started.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// Accounts of the run.
    pub accounts: Accounts,
    /// Queue to the collector.
    pub outbox: Outbox<Batch>,
    /// Names that no child may store events under.
    pub reserved: Reserved,
    /// Launcher of all programs.
    pub launcher: Launcher,
}

/// Names that no child may store events under: those of kernel tracers, whose rows are evidence and whose accounts
/// the kernel's counters must match, and that of the agent's own `loss`. Clones share the names, so a change also
/// affects running children.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    names: Arc<RwLock<BTreeSet<TracerName>>>,
}

impl Reserved {
    /// Reserves these names.
    pub fn new(names: impl IntoIterator<Item = TracerName>) -> Self {
        Self { names: Arc::new(RwLock::new(names.into_iter().collect())) }
    }

    /// Replaces the reserved names.
    pub fn replace(&self, names: impl IntoIterator<Item = TracerName>) {
        *write(&self.names) = names.into_iter().collect();
    }

    /// Returns whether the name is reserved.
    pub fn contains(&self, name: &TracerName) -> bool {
        read(&self.names).contains(name)
    }
}
