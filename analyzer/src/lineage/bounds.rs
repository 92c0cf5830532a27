//! Bounds of a search, and what they cut off.

use std::time::{Duration, Instant};

use super::graph::Node;

/// A moment at which work stops.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns the moment after some time from now; `None` if that is beyond all times.
    pub fn after(time: Duration) -> Option<Self> {
        now().checked_add(time).map(Self)
    }

    /// Returns whether the moment is over.
    pub(super) fn is_over(self) -> bool {
        now() >= self.0
    }
}

/// Number of edges between two times at which the clock is read.
const CLOCK_EVERY: u64 = 4096;

/// Counts edges that are read, and looks at the clock now and then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    deadline: Option<Deadline>,
    /// Number of edges that were read.
    pub(super) read: u64,
}

impl Clock {
    pub(super) const fn new(deadline: Option<Deadline>) -> Self {
        Self { deadline, read: 0 }
    }

    /// Counts an edge. Returns whether the time is over.
    pub(super) fn is_over(&mut self) -> bool {
        self.read += 1;
        self.read.is_multiple_of(CLOCK_EVERY) && self.deadline.is_some_and(Deadline::is_over)
    }
}

#[expect(clippy::disallowed_methods, reason = "real time is limited, and this crate has no actors")]
fn now() -> Instant {
    Instant::now()
}

/// Limits of a search. What they cut off is part of what is found.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Edges with fewer bytes are not followed.
    pub min_bytes: u64,
    /// Most edges on a way.
    pub depth: Option<u32>,
    /// Nodes with more neighbours than that in the direction of the search are not left again.
    pub hub: Option<usize>,
    /// Most edges that are followed.
    pub edges: Option<u64>,
    /// The moment at which the search stops.
    pub deadline: Option<Deadline>,
    /// True for nodes that are not left again, by their numbers; nodes beyond the end are left.
    pub boundary: Vec<bool>,
}

impl Bounds {
    /// Returns whether a node is in the boundary.
    pub(super) fn is_boundary(&self, node: Node) -> bool {
        self.boundary.get(node as usize).copied().unwrap_or_default()
    }
}

/// The reason why a search did not follow edges of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The node is in the boundary.
    Boundary,
    /// The node has too many neighbours.
    Hub,
    /// The edges have too few bytes.
    MinBytes,
    /// The way to the node has as many edges as it may have.
    Depth,
    /// The search stopped, because of the number of edges or the time.
    Budget,
}

impl Why {
    /// Returns the name of the reason in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boundary => "boundary",
            Self::Hub => "hub",
            Self::MinBytes => "min-bytes",
            Self::Depth => "depth",
            Self::Budget => "budget",
        }
    }
}

/// Edges that were not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The node that they belong to.
    pub node: Node,
    /// The reason why they were not followed.
    pub why: Why,
    /// Number of the edges.
    pub edges: u64,
}
