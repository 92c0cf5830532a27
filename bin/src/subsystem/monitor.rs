//! Tracers that run other programs: shell commands and subprocesses. Each reads its own records; the two host actors end
//! after them.

use std::collections::BTreeSet;
use std::sync::Arc;

use actors::{AnyChild, Prepared};
use futures::future::BoxFuture;
use model::{Change, MANIFEST, Problem, Subject, TracerName, What};
use shell_monitor::Monitor;

use super::{Group, Subsystem, Tracer};
use crate::config::Config;

/// The subsystem of shell and subprocess tracers.
pub(crate) struct Programs {
    pub(crate) monitor: Monitor,
}

impl Subsystem for Programs {
    fn tracers(&self) -> Vec<Tracer> {
        let tracer = |tracer: shell_monitor::Tracer| Tracer {
            attached: tracer.is_attached(),
            lacks: Vec::new(),
            off: !tracer.is_wanted(),
            stored_as: tracer.name,
            section: tracer.section,
            kind: tracer.kind.into(),
            child: tracer.child,
            host: None,
            strict: false,
        };
        self.monitor.tracers().into_iter().map(tracer).collect()
    }

    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let tracers = self.monitor.tracers().into_iter().map(|tracer| (Group::Sources, tracer.child));
        tracers.chain(self.monitor.hosts().into_iter().map(|host| (Group::Tracers, host))).collect()
    }

    fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        let change = self.monitor.prepare(&config.shell_monitor())?;
        Ok(Box::pin(apply(self.monitor.clone(), change, reserved_names(config))))
    }

    fn set_enabled(&self, name: TracerName, on: bool) -> BoxFuture<'static, Result<bool, String>> {
        let monitor = self.monitor.clone();
        Box::pin(async move { monitor.set_enabled(&name, on).await.map_err(|cause| cause.to_string()) })
    }
}

/// Applies new settings. A tracer that was disabled at run time is enabled again if its settings have changed.
async fn apply(monitor: Monitor, change: Prepared, reserved: BTreeSet<TracerName>) -> Vec<Change> {
    monitor.reserve(reserved);
    let changes = change.await;
    let restarted =
        |name: &TracerName| changes.contains(&Change::new(What::Restarted, Subject::Tracer(name.clone())));
    for tracer in monitor.tracers().iter().filter(|tracer| !tracer.is_wanted() && restarted(&tracer.name)) {
        if let Err(cause) = monitor.set_enabled(&tracer.name, true).await {
            let tracer = tracer.name.as_str();
            tracing::warn!(tracer, %cause, "could not attach the tracer with its new settings");
        }
    }
    changes
}

/// Returns the names that no subprocess may store under, because other subsystems have tracers or tables of that name.
pub(crate) fn reserved_names(config: &Config) -> BTreeSet<TracerName> {
    let kernel = bpf_programs::tracers().map(|tracer| config.tracer.kernel.stored_as(tracer.name));
    let templates = config.tracer.template.bpf.iter().map(|(section, template)| template.stored_as(section));
    kernel.chain(templates).chain(["loss", MANIFEST].map(TracerName::new)).collect()
}
