//! Copies that are proven.

use std::collections::HashMap;

use super::channels::Channels;
use super::edges::{End, Flow, each_end, edge};
use super::facts::{Use, Way};
use super::graph::{Edge, Kind, Node};
use super::nodes::Nodes;

/// Makes edges of uses only by calls that copy within the kernel: of what a program moved by them, one file gave as many bytes as one
/// other file or channel got.
pub(super) fn copies(copying: &[Use], nodes: &Nodes, channels: &Channels) -> Vec<Edge> {
    let mut pairs: HashMap<(u32, u64, u16), [Vec<&Use>; 2]> = HashMap::new();
    for one in copying {
        let pair = pairs.entry((one.process, one.bytes, one.ways)).or_default();
        pair[usize::from(one.way == Way::Written)].push(one);
    }
    let mut edges = Vec::new();
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
    edges
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
