//! What the tracers of this crate need of the rest of the agent.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use actors::Outbox;
use model::{Accounts, Batch, TracerName};

/// Where records go, and who answers for them.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The run's books.
    pub accounts: Accounts,
    /// To the collector.
    pub outbox: Outbox<Batch>,
    /// Names no child may store events under.
    pub reserved: Reserved,
}

/// Names no child may store events under: those of kernel tracers, whose books are the kernel's own and whose rows
/// are evidence, and of the agent's own `loss`. Clones share them, so that they change for children at work, too.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    names: Arc<RwLock<BTreeSet<TracerName>>>,
}

impl Reserved {
    /// These.
    pub fn new(names: impl IntoIterator<Item = TracerName>) -> Self {
        Self { names: Arc::new(RwLock::new(names.into_iter().collect())) }
    }

    /// These from now on.
    pub fn replace(&self, names: impl IntoIterator<Item = TracerName>) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names.into_iter().collect();
    }

    /// Whether it is one.
    pub fn contains(&self, name: &TracerName) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}
