//! The collector and the sinks, through which the records of all tracers pass.

use std::sync::Arc;

use actors::{AnyChild, Prepared};
use collector::CollectorHandle;
use model::Problem;

use super::{Group, Subsystem};
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

    fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        self.handle.prepare(&config.collector, &config.filter)
    }
}
