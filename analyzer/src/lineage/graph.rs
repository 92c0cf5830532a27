//! A graph of nodes between which data went at known times, in flat arrays.

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

    /// Returns the node in which an edge ends in this direction.
    pub(super) const fn end(self, edge: &Edge) -> Node {
        match self {
            Self::Forward => edge.to,
            Self::Backward => edge.from,
        }
    }
}

/// Edges, found by the node that they leave and by the node that they enter.
#[derive(Debug, Default)]
pub struct Graph {
    /// Ordered by `from`.
    edges: Vec<Edge>,
    /// Index in `edges` of the first edge that leaves a node, and after the last node the number of edges.
    leaving: Vec<u32>,
    /// Indexes of edges, ordered by `to`.
    by_target: Vec<u32>,
    /// As `leaving`, for `by_target`.
    entering: Vec<u32>,
}

impl Graph {
    /// Makes the graph. Edges of nodes that are not below `nodes` are left out.
    pub fn new(nodes: usize, mut edges: Vec<Edge>) -> Self {
        edges.retain(|edge| (edge.from.max(edge.to) as usize) < nodes && edge.first <= edge.last);
        edges.sort_unstable_by_key(|edge| (edge.from, edge.first));
        let leaving = starts(nodes, edges.iter().map(|edge| edge.from));
        let entering = starts(nodes, edges.iter().map(|edge| edge.to));
        let mut next = entering.clone();
        let mut by_target = vec![0; edges.len()];
        for (index, edge) in (0..).zip(&edges) {
            let slot = &mut next[edge.to as usize];
            by_target[*slot as usize] = index;
            *slot += 1;
        }
        Self { edges, leaving, by_target, entering }
    }

    /// Returns the number of nodes.
    pub fn nodes(&self) -> usize {
        self.leaving.len().saturating_sub(1)
    }

    /// Returns all edges, ordered by the node that they leave.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Returns the edges that leave a node.
    pub fn leaving(&self, node: Node) -> impl Iterator<Item = &Edge> {
        self.edges[range(&self.leaving, node)].iter()
    }

    /// Returns the edges that enter a node.
    pub fn entering(&self, node: Node) -> impl Iterator<Item = &Edge> {
        self.by_target[range(&self.entering, node)].iter().map(|index| &self.edges[*index as usize])
    }

    /// Calls `visit` with each edge by which the direction goes on from a node.
    pub(super) fn each(&self, node: Node, direction: Direction, visit: impl FnMut(&Edge)) {
        match direction {
            Direction::Forward => self.leaving(node).for_each(visit),
            Direction::Backward => self.entering(node).for_each(visit),
        }
    }
}

/// Returns for each node how many of the items are smaller, and at the end the number of all.
fn starts(nodes: usize, items: impl Iterator<Item = Node>) -> Vec<u32> {
    let mut starts = vec![0_u32; nodes + 1];
    items.for_each(|node| starts[node as usize + 1] += 1);
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    starts
}

fn range(starts: &[u32], node: Node) -> std::ops::Range<usize> {
    let at = |index: usize| starts.get(index).map_or(0, |start| *start as usize);
    at(node as usize)..at(node as usize + 1)
}
