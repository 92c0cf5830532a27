//! Edges of the lives of processes: those that are made, and execute programs. There are too many to keep all edges, so they are made
//! one by one, in the order of time.

use std::cell::OnceCell;

use super::edges::{End, Flow, between, edge};
use super::epochs::Part;
use super::facts::{Clone_, Exec, Facts, Way};
use super::graph::{ANY_BYTES, Direction, Edge, Kind};
use super::inherited::end_of_process;
use super::nodes::Nodes;

/// Most bytes that arguments and environment of a program can have, by the usual limit of the stack.
const EXEC_BYTES: u64 = 2 << 20;

/// Orders of what happened to processes. An event is a number: that of a program's start, or after all of these, of a process that was made.
#[derive(Debug)]
pub(super) struct Life {
    /// Numbers of the calls.
    exec: u16,
    fork: u16,
    memory: u16,
    /// In the order of first times.
    forward: Vec<u32>,
    /// In the order of last times, the latest first; made when it is needed.
    backward: OnceCell<Vec<u32>>,
}

impl Life {
    pub(super) fn of(facts: &mut Facts, nodes: &Nodes) -> Self {
        let [exec, fork, memory] = ["exec", "fork", "memory"].map(|way| facts.ways.number(way) as u16);
        let forward = order(facts, nodes, Direction::Forward);
        Self { exec, fork, memory, forward, backward: OnceCell::new() }
    }

    /// Returns the number of events.
    pub(super) fn len(&self) -> usize {
        self.forward.len()
    }

    /// Returns all events in the order of a direction.
    pub(super) fn order(&self, facts: &Facts, nodes: &Nodes, direction: Direction) -> &[u32] {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => self.backward.get_or_init(|| order(facts, nodes, direction)),
        }
    }

    /// Calls `add` with the edges of an event. Their keys are not less than that of the event.
    pub(super) fn each(&self, facts: &Facts, nodes: &Nodes, event: u32, add: impl FnMut(Edge)) {
        match facts.execs.get(event as usize) {
            Some(exec) => self.executed(exec, nodes, add),
            None => self.made(&facts.clones[event as usize - facts.execs.len()], facts, nodes, add),
        }
    }

    fn executed(&self, exec: &Exec, nodes: &Nodes, mut add: impl FnMut(Edge)) {
        let (at, ways, kind) = (exec.at, self.exec, Kind::Exec);
        // The epoch that began at this moment.
        let node = nodes.processes.node_at(exec.process, at);
        let flow = Flow { end: at, bytes: EXEC_BYTES, ways, kind, is_upper: true };
        add(edge(node - 1, node, (at, at), flow));
        let program = Flow { bytes: ANY_BYTES, is_upper: false, ..flow };
        let part = Part { node, first: at, last: at };
        for file in exec.file.into_iter().chain(exec.interpreter) {
            between(nodes, (part, End::File(file), Way::Read), program, &mut add);
        }
    }

    fn made(&self, clone: &Clone_, facts: &Facts, nodes: &Nodes, mut add: impl FnMut(Edge)) {
        let child = nodes.processes.node(clone.child, 0);
        let end = end_of_clone(clone, facts, nodes);
        let forked = Flow { end, bytes: ANY_BYTES, ways: self.fork, kind: Kind::Fork, is_upper: false };
        let shared = Flow { ways: self.memory, kind: Kind::Flow, ..forked };
        nodes.processes.parts(clone.parent, (clone.at, clone.at, end), |parent| {
            // Both at the moment of a program's start are possible; the child has only its first one.
            let interval = (parent.first, parent.last);
            add(edge(parent.node, child, interval, forked));
            if clone.shares_memory {
                add(edge(child, parent.node, interval, shared));
            }
        });
    }
}

/// Returns the time until which a process uses the memory of the one that made it.
fn end_of_clone(clone: &Clone_, facts: &Facts, nodes: &Nodes) -> i64 {
    let end =
        if clone.shares_memory { end_of_process(facts, nodes, clone.child, clone.at) } else { clone.at };
    end.max(clone.at)
}

/// Returns the least key that an edge of an event has in a direction.
pub(super) fn key(facts: &Facts, nodes: &Nodes, direction: Direction, event: u32) -> i64 {
    let (first, last) = match facts.execs.get(event as usize) {
        Some(exec) => (exec.at, exec.at),
        None => {
            let clone = &facts.clones[event as usize - facts.execs.len()];
            let last =
                if direction == Direction::Forward { clone.at } else { end_of_clone(clone, facts, nodes) };
            (clone.at, last)
        }
    };
    match direction {
        Direction::Forward => first,
        Direction::Backward => !last,
    }
}

fn order(facts: &Facts, nodes: &Nodes, direction: Direction) -> Vec<u32> {
    let mut events: Vec<u32> = (0..(facts.execs.len() + facts.clones.len()) as u32).collect();
    match direction {
        Direction::Forward => events.sort_unstable_by_key(|event| key(facts, nodes, direction, *event)),
        Direction::Backward => events.sort_by_cached_key(|event| key(facts, nodes, direction, *event)),
    }
    events
}
