//! All ways from some nodes to others: the meeting of two searches.

use super::bounds::{Bounds, Cut};
use super::graph::{Direction, Edge, Graph, Node};
use super::search::{Reached, search};

/// The findings of two searches: one forward from the beginning, one backward from the end.
#[derive(Clone, Debug)]
pub struct Between {
    forward: Reached,
    backward: Reached,
}

impl Between {
    /// Searches for all ways from `starts`, each with the time from which data are there, to `ends`, each with the time until which
    /// they can arrive.
    pub fn of(graph: &Graph, starts: &[(Node, i64)], ends: &[(Node, i64)], bounds: &Bounds) -> Self {
        Self {
            forward: search(graph, Direction::Forward, starts, bounds),
            backward: search(graph, Direction::Backward, ends, bounds),
        }
    }

    /// Returns the earliest arrival at a node and the latest departure from it; `None` if it is on no way.
    pub fn at(&self, node: Node) -> Option<(i64, i64)> {
        let (arrival, departure) = self.forward.at(node).zip(self.backward.at(node))?;
        (arrival <= departure).then_some((arrival, departure))
    }

    /// Returns the earliest arrival at a node and the latest departure from it, also if it is on no way that was found.
    pub(super) fn one(&self, node: Node) -> (Option<i64>, Option<i64>) {
        (self.forward.at(node), self.backward.at(node))
    }

    /// Returns whether an edge is on a way.
    pub fn has(&self, edge: &Edge) -> bool {
        let Some((arrival, departure)) = self.forward.at(edge.from).zip(self.backward.at(edge.to)) else {
            return false;
        };
        // Of the halves of a way, one search has followed the edge.
        let is_found = self.forward.has(edge) || self.backward.has(edge);
        is_found && arrival.max(edge.first) <= departure.min(edge.last)
    }

    /// Returns what both searches cut off.
    pub fn cuts(&self) -> Vec<Cut> {
        let mut cuts = [self.forward.cuts.as_slice(), &self.backward.cuts].concat();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// Returns the number of edges that were followed.
    pub fn edges(&self) -> u64 {
        self.forward.edges + self.backward.edges
    }
}

/// Returns the largest number of bytes such that each edge of some way has at least as many; `None` if there is no way. Several ways
/// may add up to more.
pub fn widest(graph: &Graph, starts: &[(Node, i64)], ends: &[(Node, i64)], bounds: &Bounds) -> Option<u64> {
    let reaches = |min_bytes: u64| {
        let bounds = Bounds { min_bytes, ..bounds.clone() };
        let reached = search(graph, Direction::Forward, starts, &bounds);
        ends.iter().any(|(node, until)| reached.at(*node).is_some_and(|at| at <= *until))
    };
    let mut weights: Vec<u64> = graph.edges().iter().map(|edge| edge.bytes).collect();
    weights.retain(|bytes| *bytes >= bounds.min_bytes);
    weights.sort_unstable();
    weights.dedup();
    // The start itself can be an end: then there is a way without edges.
    weights.push(u64::MAX);
    let narrower = weights.partition_point(|bytes| reaches(*bytes));
    narrower.checked_sub(1).map(|index| weights[index])
}
