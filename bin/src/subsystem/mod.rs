//! The subsystems of a running agent behind one trait: kernel tracers, eBPF templates, other programs (shell commands
//! and subprocesses), and the write side (collector and sinks).
//!
//! Each subsystem lists the tracers and actors that it has at the moment; the lists change while the agent runs. To add
//! a new kind of tracer, implement [`Subsystem`] and add it to the list in `assemble.rs`; `status`, the order of stopping
//! and `tracers enable|disable` then include it.

mod kernel;
mod monitor;
mod segments;
mod templates;
mod write_side;

use std::sync::Arc;

use actors::{AnyChild, Prepared};
use futures::future::BoxFuture;
use model::{Problem, TracerName};
use serde::Serialize;

use crate::config::Config;

pub(crate) use kernel::{Kernel, KernelOptions};
pub(crate) use monitor::{Programs, reserved_names};
pub(crate) use segments::Segments;
pub(crate) use templates::BpfTemplates;
pub(crate) use write_side::WriteSide;

/// A group of actors that is configured, listed and stopped together.
pub(crate) trait Subsystem: Send + Sync {
    /// Returns the tracers that exist at the moment.
    fn tracers(&self) -> Vec<Tracer> {
        Vec::new()
    }

    /// Returns the actors that exist at the moment, each with the group it is stopped in.
    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)>;

    /// Prepares a change to the given configuration without touching anything that runs. The change can't fail: a tracer or
    /// sink that does not work with the new configuration reports that in its own status.
    ///
    /// # Errors
    /// Returns every problem of the configuration, and every setting that can't change while the agent runs.
    fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>>;

    /// Returns the tracers that can be enabled and disabled at run time, including those that are disabled now.
    fn switchable(&self) -> Vec<Named> {
        self.tracers().into_iter().map(|it| Named { stored_as: it.stored_as, section: it.section }).collect()
    }

    /// Enables or disables a tracer at run time. Returns false if it was in that state already.
    fn set_enabled(&self, tracer: TracerName, on: bool) -> BoxFuture<'static, Result<bool, String>> {
        let _ = on;
        Box::pin(async move { Err(format!("tracer {tracer} can't be enabled or disabled at run time")) })
    }
}

/// The names by which users refer to a tracer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The name in the store and in `status`.
    pub(crate) stored_as: TracerName,
    /// The configuration section: `tracer.open`, `tracer.template.sh.kernel`.
    pub(crate) section: String,
}

impl Named {
    /// Returns the last part of the section name, which users may write instead of the whole.
    pub(crate) fn short(&self) -> &str {
        self.section.rsplit('.').next().unwrap_or_default()
    }
}

/// Groups in which actors are stopped, in this order: records that a group still holds pass through the groups after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Actors that read records from the kernel or from programs.
    Sources,
    /// Actors that decode records, and the hosts of shell and subprocess tracers.
    Tracers,
    /// The collector, which filters and routes.
    Collector,
    /// The sinks, which store.
    Sinks,
}

impl Group {
    /// All groups in the order in which they are stopped.
    pub(crate) const ALL: [Self; 4] = [Self::Sources, Self::Tracers, Self::Collector, Self::Sinks];

    /// Returns the name in `status`, in lower case.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Tracers => "tracers",
            Self::Collector => "collector",
            Self::Sinks => "sinks",
        }
    }
}

/// The kind of a tracer, by its name in `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TracerKind {
    Ebpf,
    Shell,
    Subprocess,
    #[serde(rename = "bpf template")]
    Template,
    /// The host of the kernel tracers, on which `check` reports as well.
    Host,
}

impl TracerKind {
    /// Returns the name in `status`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Shell => "shell",
            Self::Subprocess => "subprocess",
            Self::Template => "bpf template",
            Self::Host => "host",
        }
    }
}

impl From<shell_monitor::Kind> for TracerKind {
    fn from(kind: shell_monitor::Kind) -> Self {
        match kind {
            shell_monitor::Kind::Shell => Self::Shell,
            shell_monitor::Kind::Subprocess => Self::Subprocess,
        }
    }
}

/// A tracer that exists in the running agent.
pub(crate) struct Tracer {
    /// The name of its rows in the store and of its account.
    pub(crate) stored_as: TracerName,
    /// The configuration section: `tracer.open`, `tracer.template.sh.kernel`.
    pub(crate) section: String,
    pub(crate) kind: TracerKind,
    pub(crate) child: Arc<dyn AnyChild>,
    /// The actor that reads its records, if another one does.
    pub(crate) host: Option<Arc<dyn AnyChild>>,
    /// True once its hooks are attached or its program has started.
    pub(crate) attached: bool,
    /// Kinds of events that are not recorded because a hook is missing, each with the reason.
    pub(crate) lacks: Vec<String>,
    /// True if it was disabled at run time.
    pub(crate) off: bool,
    /// True if the agent ends when this tracer can't run (`ebpf.strict`).
    pub(crate) strict: bool,
}
