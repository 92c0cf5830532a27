//! Findings of a search under way, and the work that its bounds let it do.

use std::collections::HashSet;

use foldhash::HashMap;

use super::bounds::{Bounds, Clock, Why};
use super::graph::{Direction, Edges, Node};
use super::hubs::hubs;

/// Key of a node that was not reached.
pub(super) const NEVER: i64 = i64::MAX;

/// Treatment of the edges of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The node was not reached.
    Unknown,
    /// The node is one of the start, and none of its edges was followed yet.
    Waiting,
    /// The node was reached, and its edges are followed.
    Followed,
    /// The node was reached, and its edges are not followed.
    Stopped(Why),
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    pub(super) direction: Direction,
    pub(super) bounds: &'a Bounds,
    /// For each node its best key.
    pub(super) keys: Vec<i64>,
    states: Vec<State>,
    /// Nodes that are left whatever the bounds say.
    starts: HashSet<Node>,
    hubs: HashSet<Node>,
    pub(super) order: Vec<Node>,
    pub(super) cuts: HashMap<(Node, Why), u64>,
    /// Number of edges that were followed.
    pub(super) edges: u64,
    clock: Clock,
    is_over: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(
        edges: &dyn Edges,
        direction: Direction,
        starts: &[(i64, Node)],
        bounds: &'a Bounds,
    ) -> Self {
        let nodes = edges.nodes();
        Self {
            direction,
            bounds,
            keys: vec![NEVER; nodes],
            states: vec![State::Unknown; nodes],
            starts: starts.iter().map(|(_, node)| *node).collect(),
            hubs: bounds.hub.map(|most| hubs(edges, direction, most, bounds.deadline)).unwrap_or_default(),
            order: Vec::new(),
            cuts: HashMap::default(),
            edges: 0,
            clock: Clock::new(bounds.deadline),
            is_over: false,
        }
    }

    /// Notes that a node was reached, or reached earlier. Returns whether that is so.
    pub(super) fn improve(&mut self, node: Node, key: i64) -> bool {
        let known = &mut self.keys[node as usize];
        if key >= *known {
            return false;
        }
        let is_new = std::mem::replace(known, key) == NEVER;
        if is_new {
            let state = self.state(node);
            self.states[node as usize] = state;
            if state != State::Waiting {
                self.order.push(node);
            }
        }
        true
    }

    fn state(&self, node: Node) -> State {
        if self.starts.contains(&node) {
            State::Waiting
        } else if self.bounds.is_boundary(node) {
            State::Stopped(Why::Boundary)
        } else if self.hubs.contains(&node) {
            State::Stopped(Why::Hub)
        } else {
            State::Followed
        }
    }

    /// Follows an edge of a node that was reached in time for it, or counts it as cut. Returns whether it is followed.
    pub(super) fn follows(&mut self, node: Node, is_light: bool) -> bool {
        let state = &mut self.states[node as usize];
        let why = match *state {
            State::Stopped(why) => Some(why),
            _ if self.is_over => Some(Why::Budget),
            _ if is_light => Some(Why::MinBytes),
            _ => None,
        };
        if let Some(why) = why {
            *self.cuts.entry((node, why)).or_default() += 1;
            return false;
        }
        if *state == State::Waiting {
            *state = State::Followed;
            self.order.push(node);
        }
        self.edges += 1;
        self.is_over |= self.bounds.edges.is_some_and(|most| self.edges >= most);
        true
    }

    /// Counts an edge that was read. Returns whether the search's time is over; then, all edges that are left count as cut at a start.
    pub(super) fn is_late(&mut self, all: u64) -> bool {
        let is_late = self.clock.is_over();
        if is_late && let Some(start) = self.starts.iter().min() {
            self.cuts.insert((*start, Why::Budget), all.saturating_sub(self.clock.read).max(1));
            self.is_over = true;
        }
        is_late
    }

    /// Returns for each node whether its edges were followed.
    pub(super) fn followed(&self) -> Vec<bool> {
        self.states.iter().map(|state| matches!(state, State::Followed)).collect()
    }
}
