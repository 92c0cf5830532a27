//! Makes edges of facts.

use super::channels::Channels;
use super::epochs::Part;
use super::facts::{Facts, Mapping, Object, Use, Way};
use super::graph::{ANY_BYTES, Edge, Kind, Node};
use super::inherited::{end_of_process, with_inherited};
use super::nodes::Nodes;

/// Makes the edges of everything but uses and the lives of processes, which are nearly all and are made one by one.
pub(super) fn edges(facts: &mut Facts, nodes: &Nodes, channels: &Channels) -> Vec<Edge> {
    let overlay = facts.ways.number("overlay") as u16;
    let mut making = Making { facts, nodes, channels, edges: Vec::new() };
    making.mappings();
    making.peeks();
    making.layers(overlay);
    making.edges
}

/// Calls `add` with the edges of a use.
pub(super) fn of_use(
    (facts, nodes, channels): (&Facts, &Nodes, &Channels),
    one: &Use,
    mut add: impl FnMut(Edge),
) {
    let Use { process, object, way, first, last, end, bytes, ways } = *one;
    let end = end.min(end_of_process(facts, nodes, process, first).max(last));
    let flow = Flow { end, bytes, ways, kind: Kind::Flow, is_upper: false };
    nodes.processes.parts(process, (first, last, end), |part| {
        each_end(nodes, channels, object, way, |other, is_one_of_several| {
            let flow = Flow { is_upper: is_one_of_several, ..flow };
            between(nodes, (part, other, way), flow, &mut add);
        });
    });
}

struct Making<'a> {
    facts: &'a Facts,
    nodes: &'a Nodes,
    channels: &'a Channels,
    edges: Vec<Edge>,
}

/// Data that went during an interval.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    /// The time until which the last use is known to have been.
    pub(super) end: i64,
    pub(super) bytes: u64,
    pub(super) ways: u16,
    pub(super) kind: Kind,
    pub(super) is_upper: bool,
}

impl Making<'_> {
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
                        between(self.nodes, (part, other, way), flow, &mut |edge| self.edges.push(edge));
                    });
                });
            }
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
                between(self.nodes, (part, End::File(alias.real), Way::Read), flow, &mut |edge| {
                    self.edges.push(edge)
                });
                if alias.is_upper {
                    between(self.nodes, (part, End::File(alias.real), Way::Written), flow, &mut |edge| {
                        self.edges.push(edge)
                    });
                }
            });
        }
    }
}

/// The other end of a use.
#[derive(Clone, Copy)]
pub(super) enum End {
    File(u32),
    Node(Node),
}

/// Calls `visit` with what a process reads from or writes to when it uses an object, and whether there are several.
pub(super) fn each_end(
    nodes: &Nodes,
    channels: &Channels,
    object: Object,
    way: Way,
    mut visit: impl FnMut(End, bool),
) {
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
pub(super) fn between(
    nodes: &Nodes,
    (part, end, way): (Part, End, Way),
    flow: Flow,
    mut push: impl FnMut(Edge),
) {
    let mut add = |other: Node, first: i64, last: i64| {
        let (from, to) = match way {
            Way::Read => (other, part.node),
            Way::Written => (part.node, other),
        };
        if first <= last {
            push(edge(from, to, (first, last), flow));
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

pub(super) fn edge(from: Node, to: Node, (first, last): (i64, i64), flow: Flow) -> Edge {
    let Flow { bytes, ways, kind, is_upper, .. } = flow;
    Edge { from, to, first, last, bytes, ways, kind, is_upper }
}
