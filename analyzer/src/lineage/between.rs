//! All ways from some nodes to others: the meeting of two searches.

use std::ops::ControlFlow;

use super::bounds::{Bounds, Cut};
use super::graph::{ANY_BYTES, Direction, Edge, Edges, Graph, Node};
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
    pub fn of(graph: &dyn Edges, starts: &[(Node, i64)], ends: &[(Node, i64)], bounds: &Bounds) -> Self {
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

    /// Returns the nodes that data reached from the beginning, each after one from which they came.
    pub(super) fn order(&self) -> &[Node] {
        self.forward.order()
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

/// Number of edges up to which those on ways are copied to find the widest way; of more, all edges are read again each time.
const COPIED: usize = 4_000_000;

/// Returns the largest number of bytes such that each edge of some way has at least as many; `None` if there is no way. Several ways
/// may add up to more.
pub fn widest(
    edges: &dyn Edges,
    starts: &[(Node, i64)],
    ends: &[(Node, i64)],
    bounds: &Bounds,
) -> Option<u64> {
    Between::of(edges, starts, ends, bounds).widest(edges, starts, ends)
}

impl Between {
    /// As [`widest`], of the ways that were found.
    pub(super) fn widest(
        &self,
        edges: &dyn Edges,
        starts: &[(Node, i64)],
        ends: &[(Node, i64)],
    ) -> Option<u64> {
        let mut found = Vec::new();
        edges.each(Direction::Forward, &mut |edge| {
            if self.has(edge) {
                found.push(*edge);
            }
            if found.len() > COPIED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if found.len() > COPIED {
            drop(found);
            return widest_of(&OnWays { all: edges, between: self }, starts, ends);
        }
        // Nodes are numbered anew: a graph of few edges needs no memory for all nodes.
        let all = found.iter().flat_map(|edge| [edge.from, edge.to]);
        let mut nodes: Vec<Node> = all.chain(starts.iter().chain(ends).map(|(node, _)| *node)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let number = |node: Node| nodes.binary_search(&node).unwrap_or_default() as Node;
        for edge in &mut found {
            (edge.from, edge.to) = (number(edge.from), number(edge.to));
        }
        let of =
            |list: &[(Node, i64)]| list.iter().map(|(node, at)| (number(*node), *at)).collect::<Vec<_>>();
        widest_of(&Graph::new(nodes.len(), found), &of(starts), &of(ends))
    }
}

/// The edges that are on ways.
struct OnWays<'a> {
    all: &'a dyn Edges,
    between: &'a Between,
}

impl Edges for OnWays<'_> {
    fn nodes(&self) -> usize {
        self.all.nodes()
    }

    fn count(&self) -> u64 {
        self.all.count()
    }

    fn each(&self, direction: Direction, visit: &mut dyn FnMut(&Edge) -> ControlFlow<()>) {
        self.all.each(direction, &mut |edge| {
            if self.between.has(edge) { visit(edge) } else { ControlFlow::Continue(()) }
        });
    }
}

fn widest_of(edges: &dyn Edges, starts: &[(Node, i64)], ends: &[(Node, i64)]) -> Option<u64> {
    let reaches = |min_bytes: u64| {
        let reached = search(edges, Direction::Forward, starts, &Bounds { min_bytes, ..Bounds::default() });
        ends.iter().any(|(node, until)| reached.at(*node).is_some_and(|at| at <= *until))
    };
    if !reaches(0) {
        return None;
    }
    // The start itself can be an end: then there is a way without edges.
    if reaches(ANY_BYTES) {
        return Some(ANY_BYTES);
    }
    let (mut least, mut above) = (0, ANY_BYTES);
    while above - least > 1 {
        let middle = least + (above - least) / 2;
        if reaches(middle) {
            least = middle;
        } else {
            above = middle;
        }
    }
    Some(least)
}
