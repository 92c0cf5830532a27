//! On small random graphs, searches find what an enumeration of all ways that respect time finds.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use analyzer::lineage::{
    ANY_BYTES, Between, Bounds, Cut, Deadline, Direction, Edge, Graph, Node, Why, search, widest,
};
use proptest::prelude::*;

const NODES: Node = 5;
const END: i64 = 12;

/// A way: indexes of its edges, and the earliest time at which data can have gone along all of them.
struct Way {
    edges: Vec<usize>,
    arrival: i64,
}

/// Returns all ways from a node, in which each edge is used once at most, that data can have gone after `since`.
fn ways(edges: &[Edge], from: Node, since: i64) -> Vec<Way> {
    let mut found = vec![Way { edges: Vec::new(), arrival: since }];
    let mut next = 0;
    while next < found.len() {
        let end = found[next].edges.last().map_or(from, |last| edges[*last].to);
        for (index, edge) in edges.iter().enumerate() {
            let way = &found[next];
            if edge.from == end && edge.last >= way.arrival && !way.edges.contains(&index) {
                let arrival = way.arrival.max(edge.first);
                let edges = way.edges.iter().copied().chain([index]).collect();
                found.push(Way { edges, arrival });
            }
        }
        next += 1;
    }
    found
}

impl Way {
    fn end(&self, edges: &[Edge], from: Node) -> Node {
        self.edges.last().map_or(from, |last| edges[*last].to)
    }

    /// Returns the latest time at which data that arrive before `until` can have left the way's beginning.
    fn departure(&self, edges: &[Edge], until: i64) -> i64 {
        self.edges.iter().rev().fold(until, |at, index| at.min(edges[*index].last))
    }
}

/// Returns the best label of each node.
fn best(labels: impl Iterator<Item = (Node, i64)>, is_better: fn(i64, i64) -> bool) -> BTreeMap<Node, i64> {
    let mut best = BTreeMap::new();
    for (node, at) in labels {
        let known = best.entry(node).or_insert(at);
        if is_better(at, *known) {
            *known = at;
        }
    }
    best
}

fn arrivals(edges: &[Edge], from: Node, since: i64, depth: usize) -> BTreeMap<Node, i64> {
    let ways = ways(edges, from, since);
    let ways = ways.iter().filter(|way| way.edges.len() <= depth);
    best(ways.map(|way| (way.end(edges, from), way.arrival)), |one, other| one < other)
}

/// Returns the latest departures to a node: those of all ways that end there.
fn departures(edges: &[Edge], to: Node, until: i64, depth: usize) -> BTreeMap<Node, i64> {
    let from_all = (0..NODES).flat_map(|from| {
        let ways = ways(edges, from, i64::MIN);
        let ways = ways.into_iter().filter(move |way| way.end(edges, from) == to && way.edges.len() <= depth);
        ways.filter(move |way| way.arrival <= until).map(move |way| (from, way.departure(edges, until)))
    });
    best(from_all.collect::<Vec<_>>().into_iter(), |one, other| one > other)
}

fn found(graph: &Graph, direction: Direction, start: (Node, i64), bounds: &Bounds) -> BTreeMap<Node, i64> {
    let reached = search(graph, direction, &[start], bounds);
    reached.nodes().map(|node| (node, reached.at(node).unwrap())).collect()
}

prop_compose! {
    fn edge()(from in 0..NODES, to in 0..NODES, first in 0..END, length in 0..4_i64, bytes in 1..6_u64) -> Edge {
        let bytes = if bytes == 5 { ANY_BYTES } else { bytes };
        Edge::flow(from, to, (first, first + length), bytes)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn searches_find_what_all_ways_reach(
        edges in prop::collection::vec(edge(), 0..8),
        (from, to) in (0..NODES, 0..NODES),
        (since, until) in (0..END, 0..END + 4),
        depth in 0..4_u32,
        least in 0..5_u64,
    ) {
        let graph = Graph::new(NODES as usize, edges.clone());
        let heavy: Vec<Edge> = edges.iter().filter(|edge| edge.bytes >= least).copied().collect();
        let bounds = |depth| Bounds { min_bytes: least, depth, ..Bounds::default() };
        for (most, depth) in [(usize::MAX, None), (depth as usize, Some(depth))] {
            let forward = found(&graph, Direction::Forward, (from, since), &bounds(depth));
            prop_assert_eq!(forward, arrivals(&heavy, from, since, most));
            let backward = found(&graph, Direction::Backward, (to, until), &bounds(depth));
            prop_assert_eq!(backward, departures(&heavy, to, until, most));
        }
    }

    #[test]
    fn between_two_nodes_is_what_is_on_a_way(
        edges in prop::collection::vec(edge(), 0..8),
        (from, to) in (0..NODES, 0..NODES),
        (since, until) in (0..END, 0..END + 4),
    ) {
        let graph = Graph::new(NODES as usize, edges.clone());
        // A way can use an edge twice, so the nodes are those at which a way from the start and a way to the end meet.
        let before = ways(&edges, from, since);
        let after: Vec<(Node, i64)> = (0..NODES)
            .flat_map(|node| ways(&edges, node, i64::MIN).into_iter().map(move |way| (node, way)))
            .filter(|(node, way)| way.end(&edges, *node) == to && way.arrival <= until)
            .map(|(node, way)| (node, way.departure(&edges, until)))
            .collect();
        let meet = |one: &Way, (node, departure): &(Node, i64)| one.end(&edges, from) == *node && one.arrival <= *departure;
        let nodes: BTreeSet<Node> =
            after.iter().filter(|end| before.iter().any(|way| meet(way, end))).map(|(node, _)| *node).collect();
        let between = Between::of(&graph, &[(from, since)], &[(to, until)], &Bounds::default());
        prop_assert_eq!((0..NODES).filter(|node| between.at(*node).is_some()).collect::<BTreeSet<_>>(), nodes);
        for edge in &edges {
            let fits = |way: &Way, (node, departure): &(Node, i64)| {
                way.end(&edges, from) == edge.from && *node == edge.to && way.arrival.max(edge.first) <= edge.last.min(*departure)
            };
            let is_on_way = before.iter().any(|way| after.iter().any(|end| fits(way, end)));
            prop_assert_eq!(between.has(edge), is_on_way, "{:?}", edge);
        }
        let ways = before.iter().filter(|way| way.end(&edges, from) == to && way.arrival <= until);
        let bytes = |way: &Way| way.edges.iter().map(|index| edges[*index].bytes).min().unwrap_or(ANY_BYTES);
        let expected = ways.map(bytes).max();
        prop_assert_eq!(widest(&graph, &[(from, since)], &[(to, until)], &Bounds::default()), expected);
    }

    #[test]
    fn each_cut_names_edges_that_were_not_followed(
        edges in prop::collection::vec(edge(), 1..12),
        from in 0..NODES,
        most in 1..6_u64,
        depth in 0..3_u32,
        boundary in 0..NODES,
    ) {
        let graph = Graph::new(NODES as usize, edges.clone());
        let all = found(&graph, Direction::Forward, (from, 0), &Bounds::default());
        let bounded = [
            Bounds { edges: Some(most), ..Bounds::default() },
            Bounds { depth: Some(depth), ..Bounds::default() },
            Bounds { hub: Some(1), ..Bounds::default() },
            Bounds { boundary: (0..NODES).map(|node| node == boundary).collect(), ..Bounds::default() },
            Bounds { min_bytes: 3, ..Bounds::default() },
        ];
        let whys = [Why::Budget, Why::Depth, Why::Hub, Why::Boundary, Why::MinBytes];
        for (bounds, why) in bounded.iter().zip(whys) {
            let reached = search(&graph, Direction::Forward, &[(from, 0)], bounds);
            prop_assert!(reached.cuts.iter().all(|cut| cut.why == why && cut.edges > 0 && reached.at(cut.node).is_some()));
            let labels: BTreeMap<Node, i64> = reached.nodes().map(|node| (node, reached.at(node).unwrap())).collect();
            // Without a cut, nothing is missing; with one, nothing is there that is not there without bounds.
            prop_assert!(labels == all || !reached.cuts.is_empty(), "{:?}", why);
            prop_assert!(labels.iter().all(|(node, at)| all.get(node).is_some_and(|best| best <= at)));
        }
    }
}

#[test]
fn a_search_without_time_counts_what_it_did_not_read() {
    let edges: Vec<Edge> = (0..5000).map(|at| Edge::flow((at % 2) as Node, 1, (at, at), 1)).collect();
    let graph = Graph::new(2, edges);
    let deadline = Deadline::after(Duration::ZERO);
    for depth in [None, Some(1)] {
        let bounds = Bounds { deadline, depth, ..Bounds::default() };
        let reached = search(&graph, Direction::Forward, &[(0, 0)], &bounds);
        let late: Vec<&Cut> = reached.cuts.iter().filter(|cut| cut.why == Why::Budget).collect();
        assert_eq!(late, [&Cut { node: 0, why: Why::Budget, edges: 5000 - 4096 }]);
        assert_eq!(reached.nodes().collect::<Vec<_>>(), [0, 1]);
    }
}
