//! The collector and its sinks: no tracers, but what all of them need.

use std::sync::Arc;

use actors::AnyChild;
use collector::CollectorHandle;

use super::{Group, Part};

/// The part.
pub(crate) struct WriteSide {
    pub(crate) handle: CollectorHandle,
}

impl Part for WriteSide {
    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let mut children: Vec<(Group, Arc<dyn AnyChild>)> = Vec::new();
        children.push((Group::Collector, Arc::new(self.handle.collector.clone())));
        children.extend(self.handle.sinks.iter().map(|sink| (Group::Sinks, sink.child.clone())));
        children
    }
}
