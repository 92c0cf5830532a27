//! The parts of a running agent, seen alike: each knows its tracers and actors of the moment, which may change
//! while it runs.
//!
//! A new kind of tracer is one more [`Part`], pushed in `assemble.rs`; status, stop order, faults and lists follow.

mod kernel;
mod monitor;
mod templates;
mod write_side;

use std::sync::Arc;

use actors::AnyChild;
use model::TracerName;

pub(crate) use kernel::{EBPF, Kernel};
pub(crate) use monitor::{Programs, kind_name};
pub(crate) use templates::{BpfTemplates, TEMPLATE};
pub(crate) use write_side::WriteSide;

/// A part of the running agent.
pub(crate) trait Part: Send + Sync {
    /// Its tracers now.
    fn tracers(&self) -> Vec<Tracer> {
        Vec::new()
    }

    /// Its actors now, each with the group it is stopped in.
    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)>;
}

/// Actors are stopped group after group, in this order: what one still holds flows through those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Where records come from.
    Sources,
    /// What decodes them, and the hosts of sources.
    Tracers,
    /// The collector.
    Collector,
    /// The sinks.
    Sinks,
}

impl Group {
    /// All of them, in stop order.
    pub(crate) const ALL: [Self; 4] = [Self::Sources, Self::Tracers, Self::Collector, Self::Sinks];

    /// Lower-case name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Tracers => "tracers",
            Self::Collector => "collector",
            Self::Sinks => "sinks",
        }
    }
}

/// A tracer at work.
pub(crate) struct Tracer {
    /// The name its rows and its account are under.
    pub(crate) stored_as: TracerName,
    /// Its configuration section: `tracer.open`, `tracer.template.sh.kernel`.
    pub(crate) section: String,
    pub(crate) kind: &'static str,
    pub(crate) child: Arc<dyn AnyChild>,
    /// The actor it hangs on, if it can't do without one.
    pub(crate) host: Option<Arc<dyn AnyChild>>,
    /// Whether it has attached.
    pub(crate) attached: bool,
    /// If it can't run, the agent must not either.
    pub(crate) strict: bool,
}
