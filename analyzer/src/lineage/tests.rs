//! Edges of made-up facts come in order, and are those that all facts in memory give. Blocks are tiny here, and edges that wait are
//! cleaned up early.

use std::collections::HashMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::bounds::Bounds;
use super::copies::copies;
use super::edge_file::Blocks;
use super::edges::{edges, of_use};
use super::facts::{
    Alias, Clone_, End, Exec, Facts, FileKind, FileOfBoot, Mapping, Object, Process, Socket, Use, Way,
};
use super::graph::{Direction, Edge, Edges as _, Graph, Node};
use super::life::Life;
use super::search::search;
use super::seen::Seen;
use super::uses::Uses;
use super::world::World;
use crate::span::Span;

const THINGS: u32 = 4;
const END: i64 = 30;

/// Facts of some processes, files of all kinds and sockets, which have no uses yet.
fn things() -> Facts {
    let mut facts = Facts { boots: vec![0], ..Facts::default() };
    facts.names.number("program");
    for number in 0..THINGS {
        facts.processes.number(Process { pid: number, start_ns: 0 });
        let kind = [FileKind::Plain, FileKind::Plain, FileKind::Pipe, FileKind::Fifo][number as usize];
        facts.files.number(FileOfBoot { dev: 1, ino: number.into(), generation: 0, boot: 0, kind });
        facts.sockets.number(Socket { ino: number.into(), boot: 0 });
        facts.ways.number(["read", "sendfile", "splice", "x"][number as usize]);
    }
    facts
}

fn object() -> impl Strategy<Value = Object> {
    (any::<bool>(), 0..THINGS)
        .prop_map(|(is_file, number)| if is_file { Object::File(number) } else { Object::Socket(number) })
}

prop_compose! {
    fn use_of()(
        process in 0..THINGS,
        object in object(),
        is_read in any::<bool>(),
        first in 0..END,
        (length, tick) in (0..9_i64, 0..5_i64),
        bytes in 1..4_u64,
        ways in 0..4_u16,
    ) -> Use {
        let way = if is_read { Way::Read } else { Way::Written };
        Use { process, object, way, first, last: first + length, end: first + length + tick, bytes, ways }
    }
}

/// Something that happened besides uses: kind, two things and a time.
type Event = (u8, u32, u32, i64);

fn add(facts: &mut Facts, (kind, one, other, at): Event) {
    match kind {
        0 => facts.execs.push(Exec { process: one, at, file: Some(other), interpreter: None, name: 0 }),
        1 => facts.clones.push(Clone_ { parent: one, child: other, at, shares_memory: at % 2 == 0 }),
        2 => facts.exits.push((one, at)),
        3 => facts.truncations.push((one, at)),
        4 => {
            facts.ends.push(End { socket: one, at, local: None, remote: None, peer: Some(other), path: None })
        }
        5 => facts.aliases.extend([(Alias { file: one, real: other, is_upper: at % 2 == 0 }, (at, at + 3))]),
        _ => facts.mappings.push(Mapping {
            process: one,
            object: Object::File(other),
            first: at,
            last: i64::MAX,
            bytes: 1,
            ways: 0,
            can_read: true,
            can_write: at % 3 == 0,
            is_shared: at % 3 != 1,
            address: 0,
        }),
    }
}

/// Returns the world of these facts, with uses in parts, and all its edges made in memory.
fn world(parts: &[Vec<Use>], events: &[Event], span: Span) -> (World, Vec<Edge>) {
    let mut facts = Facts { boots: vec![0], ..Facts::default() };
    let mut uses = Uses::default();
    for (index, part) in parts.iter().enumerate() {
        let mut of_part = things();
        if index == 0 {
            events.iter().for_each(|event| add(&mut of_part, *event));
        }
        of_part.uses.clone_from(part);
        let blocks = Blocks::of(&of_part);
        uses.add(blocks, facts.add(of_part, |_| 0));
    }
    facts.finish();
    let world = World::of(facts, uses, span, String::new());
    let about = (&world.facts, &world.nodes, &world.channels);
    let mut all = Vec::new();
    parts.iter().flatten().for_each(|one| of_use(about, one, |edge| all.push(edge)));
    let seen = Seen::of(&world.facts, &world.uses);
    let mut again = things();
    events.iter().for_each(|event| add(&mut again, *event));
    again.finish();
    let life = Life::of(&mut again, &world.nodes);
    (0..life.len() as u32).for_each(|event| life.each(&again, &world.nodes, event, |edge| all.push(edge)));
    all.extend(edges(&mut again, &world.nodes, &world.channels));
    all.extend(copies(&seen.copying, &world.nodes, &world.channels));
    begin_before_readers(&world, &mut all);
    all.retain(|edge| span.touches(edge.first, edge.last) && edge.first <= edge.last);
    (world, all)
}

/// As [`super::early`], for edges that are all in memory.
fn begin_before_readers(world: &World, all: &mut [Edge]) {
    let is_process = |node: Node| world.nodes.processes.of_node(node).is_some();
    let is_channel = |node: Node| match world.nodes.files.of_node(node) {
        Some((file, _)) => world.facts.files.items[file as usize].kind != FileKind::Plain,
        None => !is_process(node),
    };
    let (mut reads, mut writes) = (HashMap::<Node, i64>::new(), HashMap::<Node, i64>::new());
    for edge in all.iter() {
        if is_process(edge.to) && is_channel(edge.from) {
            let known = reads.entry(edge.from).or_insert(edge.first);
            *known = edge.first.min(*known);
        } else if is_process(edge.from) && is_channel(edge.to) {
            let known = writes.entry(edge.to).or_insert(edge.first);
            *known = edge.first.min(*known);
        }
    }
    for edge in all.iter_mut() {
        if let Some(read) = reads.get(&edge.to).filter(|_| writes.get(&edge.to) == Some(&edge.first)) {
            let begin = world.nodes.processes.begin(edge.from).unwrap_or(i64::MIN);
            edge.first = edge.first.min(begin.max(*read));
        }
    }
}

fn key(edge: &Edge) -> (Node, Node, i64, i64, u64, bool, u16) {
    (edge.from, edge.to, edge.first, edge.last, edge.bytes, edge.is_upper, edge.ways)
}

fn sorted(edges: &[Edge]) -> Vec<(Node, Node, i64, i64, u64, bool, u16)> {
    let mut keys: Vec<_> = edges.iter().map(key).collect();
    keys.sort_unstable();
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edges_come_in_order_and_are_those_of_all_facts(
        parts in prop::collection::vec(prop::collection::vec(use_of(), 0..9), 1..4),
        events in prop::collection::vec((0..7_u8, 0..THINGS, 0..THINGS, 0..END), 0..9),
        (since, length) in (-1..END, 0..2 * END),
        (start, at) in (0..20_u32, -1..END),
        depth in prop::option::of(0..4_u32),
        (hub, least) in (prop::option::of(0..4_usize), 0..4_u64),
    ) {
        let span = Span { since, until: since + length };
        let (world, all) = world(&parts, &events, span);
        let graph = Graph::new(world.nodes(), all.clone());
        for direction in [Direction::Forward, Direction::Backward] {
            let mut come = Vec::new();
            world.each(direction, &mut |edge| {
                come.push(*edge);
                ControlFlow::Continue(())
            });
            prop_assert!(come.is_sorted_by_key(|edge| direction.interval(edge).0), "{:?}", come);
            prop_assert_eq!(sorted(&come), sorted(&all));
            let start = start % world.nodes() as u32;
            let bounds = Bounds { depth, hub, min_bytes: least, ..Bounds::default() };
            let one = search(&world, direction, &[(start, at)], &bounds);
            let other = search(&graph, direction, &[(start, at)], &bounds);
            let labels = |reached: &super::search::Reached| {
                reached.nodes().map(|node| (node, reached.at(node))).collect::<Vec<_>>()
            };
            prop_assert_eq!(labels(&one), labels(&other));
            prop_assert_eq!((one.edges, &one.cuts), (other.edges, &other.cuts));
            // Without jumps: each node but the start comes after one from which an edge leads to it.
            for (index, node) in one.order().iter().enumerate().filter(|(_, node)| **node != start) {
                let before = &one.order()[..index];
                let leads = |edge: &Edge| {
                    let (begin, end) = direction.ends(edge);
                    end == *node && before.contains(&begin) && one.has(edge)
                };
                prop_assert!(all.iter().any(leads), "{} in {:?}", node, one.order());
            }
        }
    }
}
