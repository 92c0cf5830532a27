//! The list of all children of a run, in the order in which they are stopped.

use std::sync::Arc;

use crate::{AnyChild, ChildStatus};

/// Holds named groups of children. They are stopped group by group, in the order in which groups were added: sources
/// first, so that the records they still hold flow through the later groups.
#[derive(Default)]
pub struct Stage {
    groups: Vec<(&'static str, Vec<Arc<dyn AnyChild>>)>,
}

impl Stage {
    /// Creates a stage without children.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a group that is stopped after all groups added before.
    pub fn add(&mut self, group: &'static str, children: Vec<Arc<dyn AnyChild>>) {
        self.groups.push((group, children));
    }

    /// Returns the groups, in stop order.
    pub fn groups(&self) -> &[(&'static str, Vec<Arc<dyn AnyChild>>)] {
        &self.groups
    }

    /// Iterates over the children of all groups.
    pub fn children(&self) -> impl Iterator<Item = &Arc<dyn AnyChild>> {
        self.groups.iter().flat_map(|(_, children)| children)
    }

    /// Stops all children: group after group, those of one group at the same time. Returns the last status of each.
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
