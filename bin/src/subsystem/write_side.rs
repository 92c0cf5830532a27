//! The collector and the sinks, through which the records of all tracers pass.

use std::sync::Arc;

use actors::AnyChild;
use collector::CollectorHandle;
use model::Problem;

use super::{Apply, Group, Subsystem};
use crate::config::Config;

/// The subsystem of the collector and the sinks. It has no tracers.
pub(crate) struct WriteSide {
    pub(crate) handle: CollectorHandle,
}

impl Subsystem for WriteSide {
    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let mut children: Vec<(Group, Arc<dyn AnyChild>)> = Vec::new();
        children.push((Group::Collector, Arc::new(self.handle.collector.clone())));
        children
            .extend(self.handle.sinks().into_iter().map(|sink| (Group::Sinks, Arc::new(sink.child) as _)));
        children
    }

    fn prepare(&self, config: &Config) -> Result<Apply, Vec<Problem>> {
        let prepared = self.handle.prepare(&config.collector, &config.filter)?;
        let handle = self.handle.clone();
        Ok(Box::new(move || Box::pin(async move { handle.apply(prepared).await })))
    }
}
