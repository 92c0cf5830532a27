//! eBPF templates: each is its own source and decodes what it reads.

use std::sync::Arc;

use actors::AnyChild;
use bpf_programs::EbpfTracers;
use bpf_programs::template::{TemplateHandle, Templates};

use super::{Group, Part, Tracer};

/// An eBPF template, as `kind` tells it.
pub(crate) const TEMPLATE: &str = "bpf template";

/// The part.
pub(crate) struct BpfTemplates {
    pub(crate) templates: Templates,
    /// Knows whether a kernel tracer that can't run ends the agent.
    pub(crate) kernel: EbpfTracers,
}

impl Part for BpfTemplates {
    fn tracers(&self) -> Vec<Tracer> {
        let strict = self.kernel.is_strict();
        let tracer = |tracer: TemplateHandle| Tracer {
            stored_as: tracer.stored_as,
            section: tracer.section,
            kind: TEMPLATE,
            attached: tracer.child.state().attached,
            child: Arc::new(tracer.child),
            host: None,
            strict,
        };
        self.templates.tracers().into_iter().map(tracer).collect()
    }

    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let tracers = self.templates.tracers().into_iter();
        tracers.map(|tracer| (Group::Sources, Arc::new(tracer.child) as Arc<dyn AnyChild>)).collect()
    }
}
