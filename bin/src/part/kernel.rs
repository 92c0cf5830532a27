//! Kernel tracers and their host.

use std::sync::Arc;

use actors::AnyChild;
use bpf_programs::EbpfTracers;

use super::{Group, Part, Tracer};

/// The host of kernel tracers, as `kind` tells it.
pub(crate) const EBPF: &str = "ebpf";

/// The part.
pub(crate) struct Kernel {
    pub(crate) tracers: EbpfTracers,
}

impl Part for Kernel {
    fn tracers(&self) -> Vec<Tracer> {
        let (host, strict) = (self.tracers.host(), self.tracers.is_strict());
        let tracer = |tracer: bpf_programs::TracerHandle| Tracer {
            stored_as: tracer.stored_as,
            section: format!("tracer.{}", tracer.name),
            kind: EBPF,
            attached: tracer.child.state().attached,
            child: Arc::new(tracer.child),
            host: host.clone().map(|host| Arc::new(host) as Arc<dyn AnyChild>),
            strict,
        };
        self.tracers.tracers().into_iter().map(tracer).collect()
    }

    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let mut children: Vec<(Group, Arc<dyn AnyChild>)> = Vec::new();
        children.extend(self.tracers.host().map(|host| (Group::Sources, Arc::new(host) as _)));
        let tracers = self.tracers.tracers().into_iter();
        children.extend(tracers.map(|tracer| (Group::Tracers, Arc::new(tracer.child) as _)));
        children
    }
}
