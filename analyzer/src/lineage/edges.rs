//! Makes edges of facts.

use std::collections::HashMap;

use super::channels::Channels;
use super::epochs::Part;
use super::facts::{Facts, FileKind, Mapping, Object, Use, Way};
use super::graph::{ANY_BYTES, Edge, Kind, Node};
use super::inherited::{end_of_process, with_inherited};
use super::nodes::Nodes;

/// Most bytes that arguments and environment of a program can have, by the usual limit of the stack.
const EXEC_BYTES: u64 = 2 << 20;

/// Calls that copy bytes within the kernel.
const COPYING: [&str; 4] = ["sendfile", "splice", "copy_file_range", "clone_range"];

/// Makes the edges.
pub(super) fn edges(facts: &mut Facts, nodes: &Nodes, channels: &Channels) -> Vec<Edge> {
    let ways = ["exec", "fork", "memory", "overlay"].map(|way| facts.ways.text(way) as u16);
    let mut making = Making { facts, nodes, channels, edges: Vec::new() };
    making.uses();
    making.mappings();
    making.life(ways);
    making.peeks();
    making.layers(ways[3]);
    let mut edges = making.edges;
    copies(facts, nodes, channels, &mut edges);
    begin_before_readers(facts, nodes, &mut edges);
    edges
}

struct Making<'a> {
    facts: &'a Facts,
    nodes: &'a Nodes,
    channels: &'a Channels,
    edges: Vec<Edge>,
}

/// Data that went during an interval.
#[derive(Clone, Copy)]
struct Flow {
    /// The time until which the last use is known to have been.
    end: i64,
    bytes: u64,
    ways: u16,
    kind: Kind,
    is_upper: bool,
}

impl Making<'_> {
    fn uses(&mut self) {
        for one in &self.facts.uses {
            let Use { process, object, way, first, last, end, bytes, ways } = *one;
            let end = end.min(end_of_process(self.facts, self.nodes, process, first).max(last));
            let flow = Flow { end, bytes, ways, kind: Kind::Flow, is_upper: false };
            self.nodes.processes.parts(process, (first, last, end), |part| {
                each_end(self.nodes, self.channels, object, way, |other, is_one_of_several| {
                    let flow = Flow { is_upper: is_one_of_several, ..flow };
                    between(self.nodes, (part, other, way), flow, &mut self.edges);
                });
            });
        }
    }

    fn mappings(&mut self) {
        for mapping in with_inherited(self.facts, self.nodes) {
            let Mapping { process, object, first, bytes, ways, .. } = mapping;
            let end = mapping.last.min(end_of_process(self.facts, self.nodes, process, first)).max(first);
            // The epoch in which it was mapped: executing a program gives memory back.
            let flow = Flow { end, bytes, ways, kind: Kind::Flow, is_upper: true };
            let directions = [(mapping.can_read, Way::Read), (mapping.can_write, Way::Written)];
            for (_, way) in directions.into_iter().filter(|(can, _)| *can) {
                self.nodes.processes.parts(process, (first, first, end), |part| {
                    each_end(self.nodes, self.channels, object, way, |other, _| {
                        between(self.nodes, (part, other, way), flow, &mut self.edges);
                    });
                });
            }
        }
    }

    fn life(&mut self, [exec_ways, fork, memory, _]: [u16; 4]) {
        let flow = |end, ways, kind| Flow { end, bytes: ANY_BYTES, ways, kind, is_upper: false };
        for exec in &self.facts.execs {
            let at = exec.at;
            let program = flow(at, exec_ways, Kind::Exec);
            let node = self
                .nodes
                .processes
                .nodes(exec.process)
                .find(|node| self.nodes.processes.begin(*node) == Some(at));
            let Some(node) = node else { continue };
            let arguments = Edge {
                from: node - 1,
                to: node,
                first: at,
                last: at,
                bytes: EXEC_BYTES,
                ways: exec_ways,
                kind: Kind::Exec,
                is_upper: true,
            };
            self.edges.push(arguments);
            let part = Part { node, first: at, last: at };
            for file in exec.file.into_iter().chain(exec.interpreter) {
                between(self.nodes, (part, End::File(file), Way::Read), program, &mut self.edges);
            }
        }
        for clone in &self.facts.clones {
            let child = self.nodes.processes.node(clone.child, 0);
            let until = if clone.shares_memory {
                end_of_process(self.facts, self.nodes, clone.child, clone.at)
            } else {
                clone.at
            };
            let forked = flow(until.max(clone.at), fork, Kind::Fork);
            let shared = Flow { ways: memory, kind: Kind::Flow, ..forked };
            self.nodes.processes.parts(clone.parent, (clone.at, clone.at, forked.end), |parent| {
                // Both at the moment of a program's start are possible; the child has only its first one.
                let edge = |from, to, flow: Flow| edge(from, to, (parent.first, parent.last), flow);
                self.edges.push(edge(parent.node, child, forked));
                if clone.shares_memory {
                    self.edges.push(edge(child, parent.node, shared));
                }
            });
        }
    }

    fn peeks(&mut self) {
        for peek in &self.facts.peeks {
            let at = (peek.at, peek.at, peek.at);
            self.nodes.processes.parts(peek.from, at, |from| {
                self.nodes.processes.parts(peek.to, at, |to| {
                    let flow = Flow {
                        end: peek.at,
                        bytes: peek.bytes,
                        ways: peek.ways,
                        kind: Kind::Flow,
                        is_upper: false,
                    };
                    self.edges.push(edge(from.node, to.node, (peek.at, peek.at), flow));
                });
            });
        }
    }

    /// Joins files of overlays with those of their layers: what is written to the one is in the other.
    fn layers(&mut self, ways: u16) {
        for (alias, (first, last)) in &self.facts.aliases {
            // A file is read from a lower layer until it is copied up; from then on it is in the upper one.
            let (first, end) = if alias.is_upper { (*first, i64::MAX) } else { (i64::MIN, *last) };
            let flow = Flow { end, bytes: ANY_BYTES, ways, kind: Kind::Flow, is_upper: false };
            self.nodes.files.parts(alias.file, (first, end, end), |part| {
                between(self.nodes, (part, End::File(alias.real), Way::Read), flow, &mut self.edges);
                if alias.is_upper {
                    between(self.nodes, (part, End::File(alias.real), Way::Written), flow, &mut self.edges);
                }
            });
        }
    }
}

/// The other end of a use.
#[derive(Clone, Copy)]
enum End {
    File(u32),
    Node(Node),
}

/// Calls `visit` with what a process reads from or writes to when it uses an object, and whether there are several.
fn each_end(nodes: &Nodes, channels: &Channels, object: Object, way: Way, mut visit: impl FnMut(End, bool)) {
    match (object, way) {
        (Object::File(file), _) => visit(End::File(file), false),
        (Object::Queue(queue), _) => visit(End::Node(nodes.queue(queue)), false),
        (Object::Socket(socket), Way::Written) => {
            let channel = &channels.of[socket as usize];
            let several = channel.sockets.len() + channel.outside.len() > 1;
            channel.sockets.iter().for_each(|peer| visit(End::Node(nodes.socket(*peer)), several));
            channel.outside.iter().for_each(|address| visit(End::Node(nodes.address(*address)), several));
            if channel.sockets.is_empty() && channel.outside.is_empty() {
                visit(End::Node(nodes.sent(socket)), false);
            }
        }
        (Object::Socket(socket), Way::Read) => {
            let channel = &channels.of[socket as usize];
            let several = channel.outside.len() + usize::from(channel.is_fed) > 1;
            channel.outside.iter().for_each(|address| visit(End::Node(nodes.address(*address)), several));
            if channel.is_fed || channel.outside.is_empty() {
                visit(End::Node(nodes.socket(socket)), several);
            }
        }
    }
}

/// Adds the edges between a part of a thing that reads or writes and the other end.
fn between(nodes: &Nodes, (part, end, way): (Part, End, Way), flow: Flow, edges: &mut Vec<Edge>) {
    let mut add = |other: Node, first: i64, last: i64| {
        let (from, to) = match way {
            Way::Read => (other, part.node),
            Way::Written => (part.node, other),
        };
        if first <= last {
            edges.push(edge(from, to, (first, last), flow));
        }
    };
    match end {
        End::Node(node) => add(node, part.first, part.last),
        End::File(file) => {
            let interval = (part.first, flow.end.min(part.last).max(part.first), part.last);
            nodes.files.parts(file, interval, |of_file| add(of_file.node, of_file.first, of_file.last));
        }
    }
}

fn edge(from: Node, to: Node, (first, last): (i64, i64), flow: Flow) -> Edge {
    let Flow { bytes, ways, kind, is_upper, .. } = flow;
    Edge { from, to, first, last, bytes, ways, kind, is_upper }
}

/// Adds edges for copies that are proven: of what a program moved only by calls that copy within the kernel, one file gave as many
/// bytes as one other file or channel got.
fn copies(facts: &Facts, nodes: &Nodes, channels: &Channels, edges: &mut Vec<Edge>) {
    let is_copying: Vec<bool> = facts
        .ways
        .items
        .iter()
        .map(|ways| !ways.is_empty() && ways.split('+').all(|way| COPYING.contains(&way)))
        .collect();
    let mut pairs: HashMap<(u32, u64, u16), [Vec<&Use>; 2]> = HashMap::new();
    for one in facts.uses.iter().filter(|one| is_copying.get(one.ways as usize) == Some(&true)) {
        let pair = pairs.entry((one.process, one.bytes, one.ways)).or_default();
        pair[usize::from(one.way == Way::Written)].push(one);
    }
    for ((.., bytes, ways), pair) in pairs {
        let ([read], [written]) = (&pair[0][..], &pair[1][..]) else { continue };
        let (Some(from), Some(to)) = (only_node(nodes, channels, read), only_node(nodes, channels, written))
        else {
            continue;
        };
        let (first, last) = (read.first.min(written.first), read.last.max(written.last));
        let flow = Flow { end: last, bytes, ways, kind: Kind::Copy, is_upper: false };
        if from != to {
            edges.push(edge(from, to, (first, last), flow));
        }
    }
}

/// Returns the node that a use is about, if it can be only one. Within the time of the row, a file must have had one contents only.
fn only_node(nodes: &Nodes, channels: &Channels, one: &Use) -> Option<Node> {
    let mut found = Vec::new();
    each_end(nodes, channels, one.object, one.way, |end, _| match end {
        End::Node(node) => found.push(node),
        End::File(file) => {
            nodes.files.parts(file, (one.first, one.last, one.last), |part| found.push(part.node));
        }
    });
    match found[..] {
        [node] => Some(node),
        _ => None,
    }
}

/// Lets writes to a channel begin with the first read of it. The row of a write has the time when it ended; if bytes were read
/// before any write ended, the one that ended first was under way.
fn begin_before_readers(facts: &Facts, nodes: &Nodes, edges: &mut [Edge]) {
    let is_channel = |node: Node| match nodes.files.of_node(node) {
        Some((file, _)) => facts.files.items[file as usize].kind != FileKind::Plain,
        None => nodes.processes.of_node(node).is_none(),
    };
    let mut first_read: HashMap<Node, i64> = HashMap::new();
    let mut first_write: HashMap<Node, i64> = HashMap::new();
    for edge in edges.iter() {
        let is_process = |node: Node| (node as usize) < nodes.processes.end() as usize;
        if is_process(edge.to) && !is_process(edge.from) && is_channel(edge.from) {
            let known = first_read.entry(edge.from).or_insert(edge.first);
            *known = edge.first.min(*known);
        } else if is_process(edge.from) && !is_process(edge.to) && is_channel(edge.to) {
            let known = first_write.entry(edge.to).or_insert(edge.first);
            *known = edge.first.min(*known);
        }
    }
    for edge in edges.iter_mut() {
        if first_write.get(&edge.to) == Some(&edge.first)
            && let Some(read) = first_read.get(&edge.to)
        {
            // Not before the program was there that wrote.
            let begin = nodes.processes.begin(edge.from).unwrap_or(i64::MIN);
            edge.first = edge.first.min((*read).max(begin));
        }
    }
}
