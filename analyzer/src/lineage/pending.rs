//! Edges that wait until their beginning is reached.

use super::graph::Node;

/// Index of no edge.
const NONE: u32 = u32::MAX;
/// Number of edges below which those whose time is over stay.
const FEW: usize = if cfg!(test) { 2 } else { 1 << 16 };

/// An edge that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) end: Node,
    begin: Node,
    /// Key of the time until which it can be used.
    pub(super) last: i64,
    /// Index of the next edge with the same beginning.
    next: u32,
    pub(super) is_light: bool,
}

/// Edges by their beginnings. Those whose time is over are removed, so that the others are at least about half of all.
#[derive(Debug)]
pub(super) struct Pending {
    edges: Vec<Waiting>,
    /// For each node the index of its first edge.
    heads: Vec<u32>,
    limit: usize,
}

impl Pending {
    pub(super) fn new(nodes: usize) -> Self {
        Self { edges: Vec::new(), heads: vec![NONE; nodes], limit: FEW }
    }

    /// Adds an edge at a time.
    pub(super) fn add(&mut self, (begin, end): (Node, Node), last: i64, is_light: bool, now: i64) {
        if self.edges.len() >= self.limit {
            self.clean(now);
        }
        self.link(Waiting { end, begin, last, next: NONE, is_light });
    }

    fn link(&mut self, edge: Waiting) {
        let head = &mut self.heads[edge.begin as usize];
        let next = std::mem::replace(head, self.edges.len() as u32);
        self.edges.push(Waiting { next, ..edge });
    }

    /// Takes an edge of a node.
    pub(super) fn pop(&mut self, node: Node) -> Option<Waiting> {
        let head = &mut self.heads[node as usize];
        let edge = self.edges.get_mut(*head as usize)?;
        *head = edge.next;
        let taken = *edge;
        // It stays in the list until that is cleaned.
        edge.end = NONE;
        Some(taken)
    }

    /// Removes edges whose time is over.
    fn clean(&mut self, now: i64) {
        let edges = std::mem::take(&mut self.edges);
        for edge in &edges {
            self.heads[edge.begin as usize] = NONE;
        }
        edges
            .into_iter()
            .filter(|edge| edge.last >= now && edge.end != NONE)
            .for_each(|edge| self.link(edge));
        self.limit = FEW.max(self.edges.len() * 2);
    }
}
