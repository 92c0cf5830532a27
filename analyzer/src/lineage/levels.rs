//! A search for ways of a limited number of edges: all edges are read once for each level, because a way that arrives later can
//! have fewer edges.

use std::ops::ControlFlow;

use foldhash::HashMap;

use super::bounds::Why;
use super::graph::{Edges, Node};
use super::progress::{NEVER, Progress};

/// Searches from nodes, each with its key.
pub(super) fn by_levels(
    edges: &dyn Edges,
    progress: &mut Progress<'_>,
    starts: Vec<(i64, Node)>,
    depth: u32,
) {
    let mut level = Level { keys: vec![NEVER; edges.nodes()], nodes: Vec::new() };
    starts.iter().for_each(|(key, node)| level.add(progress, *node, *key));
    for _ in 0..depth {
        if level.nodes.is_empty() {
            return;
        }
        level = level.follow(edges, progress);
    }
    level.cut(edges, progress);
}

/// Nodes that were reached, or reached earlier, by ways of one number of edges.
struct Level {
    /// For each of these nodes its key before the next level.
    keys: Vec<i64>,
    nodes: Vec<Node>,
}

impl Level {
    fn add(&mut self, progress: &mut Progress<'_>, node: Node, key: i64) {
        if progress.improve(node, key) {
            let known = &mut self.keys[node as usize];
            if *known == NEVER {
                self.nodes.push(node);
            }
            *known = key;
        }
    }

    /// Follows the edges of these nodes. Returns the nodes of the next level.
    fn follow(self, edges: &dyn Edges, progress: &mut Progress<'_>) -> Self {
        let (direction, least, all) = (progress.direction, progress.bounds.min_bytes, edges.count());
        // A node that comes again earlier has other cuts than before.
        let mut before = std::mem::take(&mut progress.cuts);
        let mut next = Self { keys: vec![NEVER; edges.nodes()], nodes: Vec::new() };
        edges.each(direction, &mut |edge| {
            let ((begin, end), (first, last)) = (direction.ends(edge), direction.interval(edge));
            let key = self.keys[begin as usize];
            if key != NEVER && last >= key && progress.follows(begin, edge.bytes < least) {
                next.add(progress, end, key.max(first));
            }
            if progress.is_late(all) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        before.extend(progress.cuts.drain());
        progress.cuts = before;
        next
    }

    /// Counts the edges by which nodes beyond the last level would be reached, or reached earlier.
    fn cut(&self, edges: &dyn Edges, progress: &mut Progress<'_>) {
        let (direction, least) = (progress.direction, progress.bounds.min_bytes);
        let mut counts: HashMap<Node, u64> = HashMap::default();
        if self.nodes.is_empty() {
            return;
        }
        edges.each(direction, &mut |edge| {
            let ((begin, end), (first, last)) = (direction.ends(edge), direction.interval(edge));
            let key = self.keys[begin as usize];
            let is_usable = key != NEVER && last >= key && edge.bytes >= least;
            if is_usable && key.max(first) < progress.keys[end as usize] {
                *counts.entry(begin).or_default() += 1;
            }
            ControlFlow::Continue(())
        });
        progress.cuts.extend(counts.into_iter().map(|(node, edges)| ((node, Why::Depth), edges)));
    }
}
