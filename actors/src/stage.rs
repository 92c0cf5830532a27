//! All children of a run, in the order in which they are stopped.

use std::sync::Arc;

use crate::{AnyChild, ChildStatus};

/// Named groups of children. Stopping goes group by group, in the order in which groups were added: sources
/// first, so that what they still hold flows through those behind them.
#[derive(Default)]
pub struct Stage {
    groups: Vec<(&'static str, Vec<Arc<dyn AnyChild>>)>,
}

impl Stage {
    /// Nobody on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a group behind those there are.
    pub fn add(&mut self, group: &'static str, children: Vec<Arc<dyn AnyChild>>) {
        self.groups.push((group, children));
    }

    /// The groups, in stop order.
    pub fn groups(&self) -> &[(&'static str, Vec<Arc<dyn AnyChild>>)] {
        &self.groups
    }

    /// Every child.
    pub fn children(&self) -> impl Iterator<Item = &Arc<dyn AnyChild>> {
        self.groups.iter().flat_map(|(_, children)| children)
    }

    /// Stops everybody: group after group, within a group side by side. Returns each one's last status.
    pub async fn stop(&self) -> Vec<(String, ChildStatus)> {
        let mut ends = Vec::new();
        for (group, children) in &self.groups {
            tracing::debug!(group, "stopping");
            let statuses = futures::future::join_all(children.iter().map(|child| child.stop())).await;
            ends.extend(children.iter().map(|child| child.name().to_owned()).zip(statuses));
        }
        ends
    }
}
