//! eBPF templates: each is its own source and decodes what it reads.

use std::sync::Arc;

use actors::{AnyChild, Phase};
use bpf_programs::EbpfTracers;
use bpf_programs::template::{TemplateHandle, Templates};
use futures::future::BoxFuture;
use model::Problem;

use super::{Apply, Group, Named, Part, Tracer};
use crate::config::Config;

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
            // What it lacks it was told to do without.
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

    fn prepare(&self, config: &Config) -> Result<Apply, Vec<Problem>> {
        let prepared = self.templates.prepare(&config.bpf_templates())?;
        let templates = self.templates.clone();
        Ok(Box::new(move || Box::pin(async move { templates.apply(prepared).await })))
    }

    fn turn(&self, tracer: Named, on: bool) -> BoxFuture<'static, Result<bool, String>> {
        let (templates, name) = (self.templates.clone(), tracer.stored_as);
        Box::pin(async move {
            let present = templates.tracers().into_iter().find(|tracer| tracer.stored_as == name);
            let is_on = present.is_some_and(|it| !it.off && it.child.status().phase != Phase::GivenUp);
            if is_on == on {
                return Ok(false);
            }
            let turned = if on { templates.attach(&name).await } else { templates.detach(&name).await };
            turned.map(|()| true)
        })
    }
}
