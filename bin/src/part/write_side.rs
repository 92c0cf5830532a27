//! The collector and its sinks: no tracers, but what all of them need.

use std::sync::Arc;

use actors::AnyChild;
use collector::{CollectorConfig, CollectorHandle, FiltersConfig};
use model::{Changes, Problem, changed_keys};

use super::{Apply, Group, Part};
use crate::config::Config;

/// The part.
pub(crate) struct WriteSide {
    pub(crate) handle: CollectorHandle,
    pub(crate) config: CollectorConfig,
    pub(crate) filters: FiltersConfig,
}

impl Part for WriteSide {
    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let mut children: Vec<(Group, Arc<dyn AnyChild>)> = Vec::new();
        children.push((Group::Collector, Arc::new(self.handle.collector.clone())));
        children.extend(self.handle.sinks.iter().map(|sink| (Group::Sinks, sink.child.clone())));
        children
    }

    fn prepare(&self, config: &Config) -> Result<Apply, Vec<Problem>> {
        let fixed = |section: &'static str, keys: Vec<String>| {
            keys.into_iter().map(move |key| Problem::needs_restart(format!("{section}.{key}")))
        };
        let mut problems = Vec::new();
        problems.extend(fixed("collector", changed_keys(&self.config, &config.collector)));
        problems.extend(fixed("filter", changed_keys(&self.filters, &config.filter)));
        if problems.is_empty() {
            Ok(Box::new(|| Box::pin(async { Changes::default() })))
        } else {
            Err(problems)
        }
    }
}
