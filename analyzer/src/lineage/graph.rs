//! Nodes and edges between which data went at known times, and how a search gets at the edges.

use std::ops::ControlFlow;

/// Number of a node in a graph.
pub type Node = u32;

/// Number of bytes of an edge whose bytes are not known, such as memory that a child gets. It is heavier than any other edge.
pub const ANY_BYTES: u64 = u64::MAX;

/// How data went along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The kernel copied exactly these bytes: it is proven that they went there.
    Copy,
    /// Data can have gone there: a process that reads one file and writes another need not have copied anything.
    Flow,
    /// A program was executed: its file, or arguments and environment, became a process.
    Exec,
    /// A process was made with the memory of its parent.
    Fork,
}

impl Kind {
    /// All kinds, by their numbers.
    pub const ALL: [Self; 4] = [Self::Copy, Self::Flow, Self::Exec, Self::Fork];

    /// Returns the name of the kind in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Flow => "flow",
            Self::Exec => "exec",
            Self::Fork => "fork",
        }
    }
}

/// Data that went from one node to another at some time within an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The node that the data came from.
    pub from: Node,
    /// The node that they went to.
    pub to: Node,
    /// The earliest time at which they can have gone, in nanoseconds since 1970, UTC.
    pub first: i64,
    /// The latest such time.
    pub last: i64,
    /// Number of bytes; [`ANY_BYTES`] if that is not known.
    pub bytes: u64,
    /// Number of the set of calls in a table beside the graph.
    pub ways: u16,
    /// How the data went.
    pub kind: Kind,
    /// Whether `bytes` is the most that can have gone there, as for mappings.
    pub is_upper: bool,
}

impl Edge {
    /// Returns an edge of the kind [`Kind::Flow`].
    pub const fn flow(from: Node, to: Node, (first, last): (i64, i64), bytes: u64) -> Self {
        Self { from, to, first, last, bytes, ways: 0, kind: Kind::Flow, is_upper: false }
    }
}

/// The direction in which a graph is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// With the data: where did they go?
    Forward,
    /// Against it: where did they come from?
    Backward,
}

impl Direction {
    /// Returns a time as the search compares it: in both directions, a smaller one is better.
    pub(super) const fn key(self, at: i64) -> i64 {
        match self {
            Self::Forward => at,
            // Not the negative number, which the smallest one does not have.
            Self::Backward => !at,
        }
    }

    /// Returns the first and the last key of an edge's interval.
    pub(super) const fn interval(self, edge: &Edge) -> (i64, i64) {
        match self {
            Self::Forward => (edge.first, edge.last),
            Self::Backward => (!edge.last, !edge.first),
        }
    }

    /// Returns the nodes in which an edge begins and ends in this direction.
    pub(super) const fn ends(self, edge: &Edge) -> (Node, Node) {
        match self {
            Self::Forward => (edge.from, edge.to),
            Self::Backward => (edge.to, edge.from),
        }
    }
}

/// Edges that a search goes through, one after the other.
pub trait Edges {
    /// Returns the number of nodes; those of all edges are below it.
    fn nodes(&self) -> usize;

    /// Returns about how many edges there are.
    fn count(&self) -> u64;

    /// Calls `visit` with each edge until it breaks: forward in the order of their first times, backward in that of their last
    /// times, the latest first.
    fn each(&self, direction: Direction, visit: &mut dyn FnMut(&Edge) -> ControlFlow<()>);
}

/// Edges in memory.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: usize,
    /// Ordered by their first times.
    edges: Vec<Edge>,
    /// Indexes of edges, those with the latest last time first.
    by_last: Vec<u32>,
}

impl Graph {
    /// Makes the graph. Edges of nodes that are not below `nodes`, and those that end before they begin, are left out.
    pub fn new(nodes: usize, mut edges: Vec<Edge>) -> Self {
        edges.retain(|edge| (edge.from.max(edge.to) as usize) < nodes && edge.first <= edge.last);
        edges.sort_unstable_by_key(|edge| (edge.first, edge.from));
        edges.shrink_to_fit();
        let mut by_last: Vec<u32> = (0..edges.len() as u32).collect();
        by_last.sort_unstable_by_key(|index| !edges[*index as usize].last);
        Self { nodes, edges, by_last }
    }

    /// Returns all edges in the order of a direction.
    pub fn edges(&self, direction: Direction) -> impl Iterator<Item = &Edge> {
        (0..self.edges.len()).map(move |index| match direction {
            Direction::Forward => &self.edges[index],
            Direction::Backward => &self.edges[self.by_last[index] as usize],
        })
    }
}

impl Edges for Graph {
    fn nodes(&self) -> usize {
        self.nodes
    }

    fn count(&self) -> u64 {
        self.edges.len() as u64
    }

    fn each(&self, direction: Direction, visit: &mut dyn FnMut(&Edge) -> ControlFlow<()>) {
        for edge in self.edges(direction) {
            if visit(edge).is_break() {
                return;
            }
        }
    }
}
