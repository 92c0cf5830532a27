//! Nodes with many neighbours.

use std::collections::HashSet;
use std::ops::ControlFlow;

use foldhash::HashMap;

use super::graph::{Direction, Edges, Node};

/// Returns the nodes that have edges to more than `most` others in a direction. They are found in two passes, so that only the
/// neighbours of nodes with many edges need memory.
pub(super) fn hubs(edges: &dyn Edges, direction: Direction, most: usize) -> HashSet<Node> {
    let mut counts = vec![0_u32; edges.nodes()];
    edges.each(direction, &mut |edge| {
        let count = &mut counts[direction.ends(edge).0 as usize];
        *count = count.saturating_add(1);
        ControlFlow::Continue(())
    });
    let may_be = |count: &u32| *count as usize > most;
    let nodes = (0..).zip(&counts).filter(|(_, count)| may_be(count)).map(|(node, _)| node);
    let mut neighbours: HashMap<Node, foldhash::HashSet<Node>> =
        nodes.map(|node| (node, foldhash::HashSet::default())).collect();
    let mut found = HashSet::new();
    if neighbours.is_empty() {
        return found;
    }
    edges.each(direction, &mut |edge| {
        let (begin, end) = direction.ends(edge);
        if may_be(&counts[begin as usize])
            && let Some(others) = neighbours.get_mut(&begin)
        {
            others.insert(end);
            if others.len() > most {
                neighbours.remove(&begin);
                found.insert(begin);
            }
        }
        ControlFlow::Continue(())
    });
    found
}
