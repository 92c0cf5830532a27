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
use futures::future::BoxFuture;
use model::{Changes, Problem, TracerName};

use crate::config::Config;

pub(crate) use kernel::{EBPF, Kernel};
pub(crate) use monitor::{Programs, kind_name, reserved_names};
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

    /// Makes everything ready for another configuration. Touches nothing that runs.
    ///
    /// # Errors
    /// All that is wrong with it, and every setting that can't change while the agent runs.
    fn prepare(&self, config: &Config) -> Result<Apply, Vec<Problem>>;

    /// Tracers of its that can be turned on and off: those there are, and those that would be there if enabled.
    fn switchable(&self) -> Vec<Named> {
        self.tracers().into_iter().map(|it| Named { stored_as: it.stored_as, section: it.section }).collect()
    }

    /// Turns a tracer on or off at run time; false if it was so already.
    fn turn(&self, tracer: Named, on: bool) -> BoxFuture<'static, Result<bool, String>> {
        let _ = on;
        Box::pin(async move { Err(format!("tracer {} can't be turned on or off", tracer.stored_as)) })
    }
}

/// What was made ready and is not done yet; dropped, it changes nothing. It can't fail: what does not work once it runs
/// is told as a tracer's or sink's trouble.
pub(crate) type Apply = Box<dyn FnOnce() -> BoxFuture<'static, Changes> + Send>;

/// A tracer by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) stored_as: TracerName,
    pub(crate) section: String,
}

impl Named {
    /// The last part of its section, by which people call it too.
    pub(crate) fn short(&self) -> &str {
        self.section.rsplit('.').next().unwrap_or_default()
    }
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
    /// What it records nothing of, for want of a hook, and why.
    pub(crate) lacks: Vec<String>,
    /// It was turned off at run time.
    pub(crate) off: bool,
    /// If it can't run, the agent must not either.
    pub(crate) strict: bool,
}
