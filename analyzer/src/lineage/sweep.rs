//! A search that reads all edges once, in the order of time.
//!
//! When an edge is read, all nodes that data can have reached before its first time are known. If its beginning is one of them, its
//! end is reached now. Otherwise it waits: if its beginning is reached before its last time is over, its end is reached at that
//! moment, too. So nodes are reached in the order of their labels, each once, and only edges whose time is not over need memory.

use std::ops::ControlFlow;

use super::graph::{Edges, Node};
use super::pending::Pending;
use super::progress::{NEVER, Progress};

/// Searches from nodes, each with its key.
pub(super) fn sweep(edges: &dyn Edges, progress: &mut Progress<'_>, mut starts: Vec<(i64, Node)>) {
    starts.sort_unstable_by(|one, other| other.cmp(one));
    let (direction, least, all) = (progress.direction, progress.bounds.min_bytes, edges.count());
    let mut sweep = Sweep { progress, starts, pending: Pending::new(edges.nodes()), new: Vec::new() };
    edges.each(direction, &mut |edge| {
        let (first, last) = direction.interval(edge);
        let (begin, end) = direction.ends(edge);
        sweep.start_until(first);
        let is_light = edge.bytes < least;
        if sweep.progress.keys[begin as usize] == NEVER {
            sweep.pending.add((begin, end), last, is_light, first);
        } else {
            sweep.follow((begin, end), first, is_light);
            sweep.go_on(first);
        }
        if sweep.progress.is_late(all) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    sweep.start_until(i64::MAX);
}

struct Sweep<'a, 'b> {
    progress: &'a mut Progress<'b>,
    /// Nodes of the start that data are not at yet, the latest first.
    starts: Vec<(i64, Node)>,
    pending: Pending,
    /// Nodes that were reached, and whose pending edges were not followed yet.
    new: Vec<Node>,
}

impl Sweep<'_, '_> {
    /// Begins at the nodes at which data are at a time, or before.
    fn start_until(&mut self, key: i64) {
        while let Some((at, node)) = self.starts.pop_if(|(at, _)| *at <= key) {
            self.reach(node, at);
            self.go_on(at);
        }
    }

    fn follow(&mut self, (begin, end): (Node, Node), at: i64, is_light: bool) {
        if self.progress.follows(begin, is_light) {
            self.reach(end, at);
        }
    }

    fn reach(&mut self, node: Node, at: i64) {
        if self.progress.improve(node, at) {
            self.new.push(node);
        }
    }

    /// Follows the edges that waited for nodes that were reached now.
    fn go_on(&mut self, at: i64) {
        while let Some(node) = self.new.pop() {
            while let Some(edge) = self.pending.pop(node) {
                if edge.last >= at {
                    self.follow((node, edge.end), at, edge.is_light);
                }
            }
        }
    }
}
