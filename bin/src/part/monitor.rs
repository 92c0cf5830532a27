//! Shell and subprocess tracers: each is its own source; their hosts end after them.

use std::sync::Arc;

use actors::AnyChild;
use shell_monitor::{Kind, Monitor};

use super::{Group, Part, Tracer};

/// The part.
pub(crate) struct Programs {
    pub(crate) monitor: Monitor,
}

impl Part for Programs {
    fn tracers(&self) -> Vec<Tracer> {
        let tracer = |tracer: shell_monitor::Tracer| Tracer {
            stored_as: tracer.name,
            section: tracer.section,
            kind: kind_name(tracer.kind),
            child: tracer.child,
            host: None,
            attached: true,
            strict: false,
        };
        self.monitor.tracers().into_iter().map(tracer).collect()
    }

    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let tracers = self.monitor.tracers().into_iter().map(|tracer| (Group::Sources, tracer.child));
        tracers.chain(self.monitor.hosts().into_iter().map(|host| (Group::Tracers, host))).collect()
    }
}

/// A kind as `status` tells it.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Shell => "shell",
        Kind::Subprocess => "subprocess",
    }
}
