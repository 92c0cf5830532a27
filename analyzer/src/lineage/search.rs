//! Searches edges for the nodes that data can have reached, and when.
//!
//! A node has one label: the earliest time at which data of the start can be there (forward), or the latest time at which
//! they can have left it (backward). Data can wait, so to be there earlier is never worse. Therefore one label is enough.

use super::bounds::{Bounds, Cut};
use super::graph::{Direction, Edge, Edges, Node};
use super::levels::by_levels;
use super::progress::{NEVER, Progress};
use super::sweep::sweep;

/// The findings of a search.
#[derive(Clone, Debug)]
pub struct Reached {
    direction: Direction,
    /// For each node its best key.
    keys: Vec<i64>,
    /// For each node whether its edges were followed.
    followed: Vec<bool>,
    /// Edges with fewer bytes were not followed.
    min_bytes: u64,
    /// The nodes that were reached, each after one from which an edge leads to it. Nodes of the start come when they are left.
    order: Vec<Node>,
    /// The edges that were not followed, ordered by node.
    pub cuts: Vec<Cut>,
    /// Number of edges that were followed.
    pub edges: u64,
}

impl Reached {
    /// Returns the label of a node: the earliest arrival, or the latest departure; `None` if the node was not reached.
    pub fn at(&self, node: Node) -> Option<i64> {
        let key = self.keys.get(node as usize).copied().filter(|key| *key != NEVER)?;
        Some(self.direction.key(key))
    }

    /// Returns the nodes that were reached, in order.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        (0..).zip(&self.keys).filter(|(_, key)| **key != NEVER).map(|(node, _)| node)
    }

    /// Returns the nodes that were reached, each after one from which data came to it; without nodes of the start that data never left.
    pub(super) fn order(&self) -> &[Node] {
        &self.order
    }

    /// Returns whether data can have gone along an edge on a way that was found.
    pub fn has(&self, edge: &Edge) -> bool {
        let (begin, end) = self.direction.ends(edge);
        let is_followed = self.followed.get(begin as usize).copied().unwrap_or_default();
        let is_used = is_followed && edge.bytes >= self.min_bytes;
        is_used && self.keys[begin as usize] <= self.direction.interval(edge).1 && self.at(end).is_some()
    }
}

/// Searches from nodes at which data are at certain times.
pub fn search(edges: &dyn Edges, direction: Direction, starts: &[(Node, i64)], bounds: &Bounds) -> Reached {
    let nodes = edges.nodes();
    let starts = starts.iter().filter(|(node, _)| (*node as usize) < nodes);
    let starts: Vec<(i64, Node)> = starts.map(|(node, at)| (direction.key(*at), *node)).collect();
    let mut progress = Progress::new(edges, direction, &starts, bounds);
    match bounds.depth {
        Some(depth) => by_levels(edges, &mut progress, starts, depth),
        None => sweep(edges, &mut progress, starts),
    }
    let followed = progress.followed();
    let Progress { keys, order, cuts, edges, .. } = progress;
    let mut cuts: Vec<Cut> = cuts.into_iter().map(|((node, why), edges)| Cut { node, why, edges }).collect();
    cuts.sort_unstable();
    Reached { direction, keys, followed, min_bytes: bounds.min_bytes, order, cuts, edges }
}
