//! eBPF templates: tracers made of an eBPF program of the user. Each reads and decodes its own records.

use std::sync::Arc;

use actors::{AnyChild, Prepared};
use bpf_programs::EbpfTracers;
use bpf_programs::template::{TemplateHandle, Templates};
use futures::future::BoxFuture;
use model::{Problem, TracerName};

use super::{Group, Subsystem, Tracer, TracerKind};
use crate::config::Config;

/// The subsystem of eBPF templates.
pub(crate) struct BpfTemplates {
    pub(crate) templates: Templates,
    /// Read for `ebpf.strict`, which holds for templates too.
    pub(crate) kernel: EbpfTracers,
}

impl Subsystem for BpfTemplates {
    fn tracers(&self) -> Vec<Tracer> {
        let strict = self.kernel.is_strict();
        let tracer = |tracer: TemplateHandle| Tracer {
            stored_as: tracer.stored_as,
            section: tracer.section,
            kind: TracerKind::Template,
            attached: tracer.child.state().attached,
            // A template lists the hooks it can do without, so a missing one is no degradation.
            lacks: Vec::new(),
            off: tracer.off,
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

    fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        self.templates.prepare(&config.bpf_templates())
    }

    fn set_enabled(&self, name: TracerName, on: bool) -> BoxFuture<'static, Result<bool, String>> {
        let templates = self.templates.clone();
        Box::pin(async move { templates.set_enabled(&name, on).await })
    }
}
