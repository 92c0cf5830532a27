//! Searches a graph for the nodes that data can have reached, and when.
//!
//! A node has one label: the earliest time at which data of the start can be there (forward), or the latest time at which
//! they can have left it (backward). Data can wait, so to be there earlier is never worse. Therefore one label is enough,
//! and Dijkstra's order makes it exact for ways of any length.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

use super::bounds::{Bounds, Cut, Deadline, Why};
use super::graph::{Direction, Edge, Graph, Node};

/// Number of edges between two times at which the clock is read.
const CLOCK_EVERY: u64 = 4096;
/// Key of a node that was not reached.
const NEVER: i64 = i64::MAX;

/// The findings of a search.
#[derive(Clone, Debug)]
pub struct Reached {
    direction: Direction,
    /// For each node its best key.
    keys: Vec<i64>,
    /// For each node whether its edges were followed.
    followed: Vec<bool>,
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

    /// Returns whether data can have gone along an edge on a way that was found.
    pub fn has(&self, edge: &Edge) -> bool {
        let (begin, end) = match self.direction {
            Direction::Forward => (edge.from, edge.to),
            Direction::Backward => (edge.to, edge.from),
        };
        let is_followed = self.followed.get(begin as usize).copied().unwrap_or_default();
        is_followed && self.keys[begin as usize] <= self.direction.interval(edge).1 && self.at(end).is_some()
    }
}

/// Searches from nodes at which data are at certain times.
pub fn search(graph: &Graph, direction: Direction, starts: &[(Node, i64)], bounds: &Bounds) -> Reached {
    let mut search = Search::new(graph, direction, bounds);
    for (node, at) in starts {
        if (*node as usize) < graph.nodes() {
            search.is_start.insert(*node);
            search.improve(*node, direction.key(*at));
        }
    }
    match bounds.depth {
        Some(depth) => search.by_levels(depth),
        None => search.in_order(),
    }
    search.finish()
}

struct Search<'a> {
    graph: &'a Graph,
    direction: Direction,
    bounds: &'a Bounds,
    /// Nodes that are left whatever the bounds say.
    is_start: HashSet<Node>,
    keys: Vec<i64>,
    followed: Vec<bool>,
    /// Nodes whose key became better, and that key.
    waiting: BinaryHeap<Reverse<(i64, Node)>>,
    cuts: BTreeMap<(Node, Why), u64>,
    edges: u64,
    is_over: bool,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, direction: Direction, bounds: &'a Bounds) -> Self {
        Self {
            graph,
            direction,
            bounds,
            is_start: HashSet::new(),
            keys: vec![NEVER; graph.nodes()],
            followed: vec![false; graph.nodes()],
            waiting: BinaryHeap::new(),
            cuts: BTreeMap::new(),
            edges: 0,
            is_over: false,
        }
    }

    fn improve(&mut self, node: Node, key: i64) {
        let known = &mut self.keys[node as usize];
        if key < *known {
            *known = key;
            self.waiting.push(Reverse((key, node)));
        }
    }

    /// Follows edges in the order of time: each node once, when its label is final.
    fn in_order(&mut self) {
        while let Some(Reverse((key, node))) = self.waiting.pop() {
            if key == self.keys[node as usize] && !self.followed[node as usize] {
                self.follow(node, key);
            }
        }
    }

    /// Follows edges level by level, because a way that arrives later can have fewer edges.
    fn by_levels(&mut self, depth: u32) {
        for _ in 0..depth {
            let level = std::mem::take(&mut self.waiting);
            if level.is_empty() {
                return;
            }
            let mut nodes: Vec<Node> = level.into_iter().map(|Reverse((_, node))| node).collect();
            nodes.sort_unstable();
            nodes.dedup();
            // All nodes of a level are left with the labels that they have before it.
            let keys: Vec<i64> = nodes.iter().map(|node| self.keys[*node as usize]).collect();
            for (node, key) in nodes.into_iter().zip(keys) {
                self.follow(node, key);
            }
        }
        let last: HashSet<Node> =
            std::mem::take(&mut self.waiting).into_iter().map(|Reverse((_, node))| node).collect();
        for node in last {
            let (mut edges, key) = (0, self.keys[node as usize]);
            let (direction, keys, least) = (self.direction, &self.keys, self.bounds.min_bytes);
            self.graph.each(node, direction, |edge| {
                let (first, last) = direction.interval(edge);
                let is_better = key.max(first) < keys[direction.end(edge) as usize];
                edges += u64::from(last >= key && edge.bytes >= least && is_better);
            });
            self.cut(node, Why::Depth, edges);
        }
    }

    fn follow(&mut self, node: Node, key: i64) {
        if let Some(why) = self.reason_to_stop(node) {
            let edges = self.usable(node, key);
            return self.cut(node, why, edges);
        }
        self.followed[node as usize] = true;
        let (graph, direction, least) = (self.graph, self.direction, self.bounds.min_bytes);
        let (mut light, mut followed) = (0, 0);
        graph.each(node, direction, |edge| {
            let (first, last) = direction.interval(edge);
            if last < key {
                return;
            }
            if edge.bytes < least {
                light += 1;
                return;
            }
            followed += 1;
            self.improve(direction.end(edge), key.max(first));
        });
        let before = self.edges / CLOCK_EVERY;
        self.edges += followed;
        self.cut(node, Why::MinBytes, light);
        let is_late = || self.bounds.deadline.is_some_and(Deadline::is_over);
        self.is_over |= self.bounds.edges.is_some_and(|most| self.edges >= most)
            || (self.edges / CLOCK_EVERY > before && is_late());
    }

    /// Returns why the edges of a node are not followed, if they are not.
    fn reason_to_stop(&self, node: Node) -> Option<Why> {
        if self.is_over {
            return Some(Why::Budget);
        }
        if self.is_start.contains(&node) {
            return None;
        }
        if self.bounds.is_boundary(node) {
            return Some(Why::Boundary);
        }
        self.is_hub(node).then_some(Why::Hub)
    }

    fn is_hub(&self, node: Node) -> bool {
        let Some(most) = self.bounds.hub else { return false };
        let mut count = 0;
        self.graph.each(node, self.direction, |_| count += 1);
        if count <= most {
            return false;
        }
        let mut neighbours = HashSet::new();
        self.graph.each(node, self.direction, |edge| {
            neighbours.insert(self.direction.end(edge));
        });
        neighbours.len() > most
    }

    fn usable(&self, node: Node, key: i64) -> u64 {
        let mut edges = 0;
        self.graph.each(node, self.direction, |edge| {
            edges += u64::from(self.direction.interval(edge).1 >= key);
        });
        edges
    }

    fn cut(&mut self, node: Node, why: Why, edges: u64) {
        if edges > 0 {
            self.cuts.insert((node, why), edges);
        }
    }

    fn finish(self) -> Reached {
        let cuts = self.cuts.into_iter().map(|((node, why), edges)| Cut { node, why, edges }).collect();
        let Self { direction, keys, followed, edges, .. } = self;
        Reached { direction, keys, followed, cuts, edges }
    }
}
