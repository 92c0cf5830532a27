//! Properties of an answer by which it is decided whether a blind spot could touch it.

use super::answer::{Answer, AnswerEdge};
use super::graph::Kind;
use super::kinds::NodeKind;
use crate::evidence::{Asked, Traits};

impl Answer {
    /// Returns the properties of the answer.
    pub fn traits(&self) -> Traits {
        // What is not shown can have every property.
        let is_part = self.found > self.nodes.len();
        let has = |kind: NodeKind| is_part || self.nodes.iter().any(|node| node.about.kind == kind);
        let by = |way: &str| is_part || self.edges.iter().any(|edge| edge.via.contains(way));
        let is_process = |index: usize| self.nodes[index].about.kind == NodeKind::Process;
        let between_processes = |edge: &AnswerEdge| {
            edge.kind == Kind::Flow
                && is_process(edge.from)
                && is_process(edge.to)
                && !edge.via.contains("memory")
        };
        Traits {
            asked: Asked::Flows,
            has_mapped: by("mmap"),
            has_executed: is_part || self.edges.iter().any(|edge| edge.kind == Kind::Exec),
            has_overlay: by("overlay"),
            has_system_files: is_part || self.nodes.iter().any(|node| Traits::is_of_system(&node.about.name)),
            has_sockets: has(NodeKind::Socket) || has(NodeKind::Address),
            has_addresses: has(NodeKind::Address),
            has_signals: false,
            has_ptrace: is_part || self.edges.iter().any(between_processes),
            has_shared_memory: has(NodeKind::Queue),
        }
    }
}
