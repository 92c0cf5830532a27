//! Tracers that run other programs: shell commands and subprocesses. Each reads its own records; the two host actors end
//! after them.

use std::collections::BTreeSet;
use std::sync::Arc;

use actors::{AnyChild, Phase};
use futures::future::BoxFuture;
use model::{Changes, MANIFEST, Problem, TracerName};
use shell_monitor::{Kind, Monitor, Prepared};

use super::{Apply, Group, Named, Subsystem, Tracer};
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
            kind: kind_name(tracer.kind),
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

    fn prepare(&self, config: &Config) -> Result<Apply, Vec<Problem>> {
        let prepared = self.monitor.prepare(&config.shell_monitor())?;
        let (monitor, reserved) = (self.monitor.clone(), reserved_names(config));
        Ok(Box::new(move || Box::pin(apply(monitor, prepared, reserved))))
    }

    fn set_enabled(&self, tracer: Named, on: bool) -> BoxFuture<'static, Result<bool, String>> {
        let (monitor, name) = (self.monitor.clone(), tracer.stored_as);
        Box::pin(async move {
            let found = monitor.tracers().into_iter().find(|tracer| tracer.name == name);
            let is_on = found.is_some_and(|tracer| is_on(&tracer));
            if is_on == on {
                return Ok(false);
            }
            let done = if on { monitor.attach(&name).await } else { monitor.detach(&name).await };
            done.map(|()| true).map_err(|cause| cause.to_string())
        })
    }
}

/// Returns whether a tracer is enabled and has not been given up.
fn is_on(tracer: &shell_monitor::Tracer) -> bool {
    tracer.is_wanted() && !matches!(tracer.child.status().phase, Phase::GivenUp | Phase::Finished)
}

/// Applies new settings. A tracer that was disabled at run time is enabled again if its settings have changed.
async fn apply(monitor: Monitor, prepared: Prepared, reserved: BTreeSet<TracerName>) -> Changes {
    let off = monitor.tracers().into_iter().filter(|tracer| !tracer.is_wanted());
    let off: Vec<TracerName> = off.map(|tracer| tracer.name).collect();
    monitor.reserve(reserved);
    let changes = monitor.apply(prepared).await;
    for name in off.iter().filter(|name| changes.restarted.contains(&format!("tracer {name}"))) {
        if let Err(cause) = monitor.attach(name).await {
            tracing::warn!(tracer = name.as_str(), %cause, "could not attach the tracer with its new settings");
        }
    }
    changes
}

/// Returns the names that no subprocess may store under, because other subsystems have tracers or tables of that name.
pub(crate) fn reserved_names(config: &Config) -> BTreeSet<TracerName> {
    let kernel = bpf_programs::catalog::tracers().map(|tracer| config.tracer.kernel.stored_as(tracer.name));
    let templates = config.tracer.template.bpf.iter().map(|(section, template)| template.stored_as(section));
    kernel.chain(templates).chain(["loss", MANIFEST].map(TracerName::new)).collect()
}

/// Returns the name of a kind in `status`.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Shell => "shell",
        Kind::Subprocess => "subprocess",
    }
}
