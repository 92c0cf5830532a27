//! What the tracers of this crate need of the rest of the agent.

use std::collections::BTreeSet;
use std::sync::Arc;

use actors::Outbox;
use model::{Accounts, Batch, TracerName};

/// Where records go, and who answers for them.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The run's books.
    pub accounts: Accounts,
    /// To the collector.
    pub outbox: Outbox<Batch>,
    /// Names no child may store events under: those of kernel tracers, whose books are the kernel's own and whose
    /// rows are evidence, and of the agent's own `loss`.
    pub reserved: Arc<BTreeSet<TracerName>>,
}
