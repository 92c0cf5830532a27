//! Writes to channels that were under way when the first bytes were read. The row of a write has the time when it ended; if bytes
//! were read before any write ended, the one that ended first was under way.

use foldhash::{HashMap, HashSet};

use super::channels::Channels;
use super::edges::{End, each_end, of_use};
use super::facts::{Facts, FileKind, Way};
use super::graph::{Edge, Node};
use super::nodes::Nodes;
use super::seen::Seen;
use super::uses::Uses;

/// For each channel that was read before a write to it ended, the first time at which a write ended, and that at which it was read.
#[derive(Debug, Default)]
pub(super) struct Early(HashMap<Node, (i64, i64)>);

impl Early {
    /// Finds these channels, and lets the edges of their first writes begin with the first read. Edges of uses are added to the
    /// others, because they are not in the order of the uses any more; [`Early::begin`] tells them from those that are.
    pub(super) fn of(
        (facts, nodes, channels): (&Facts, &Nodes, &Channels),
        (seen, uses): (&Seen, &Uses),
        edges: &mut Vec<Edge>,
    ) -> Self {
        let mut reads: HashMap<Node, i64> = HashMap::default();
        let mut writes: HashMap<Node, i64> = HashMap::default();
        let note = |times: &mut HashMap<Node, i64>, node: Node, at: i64| {
            let known = times.entry(node).or_insert(at);
            *known = at.min(*known);
        };
        for (object, times) in &seen.channels {
            for (way, at) in [(Way::Read, times.read), (Way::Written, times.written)] {
                let times = if way == Way::Read { &mut reads } else { &mut writes };
                each_end(nodes, channels, *object, way, |end, _| match end {
                    _ if at == i64::MAX => {}
                    End::Node(node) => note(times, node, at),
                    // Of a channel, no contents are thrown away.
                    End::File(file) => note(times, nodes.files.node(file, 0), at),
                });
            }
        }
        let is_channel = |node: Node| match nodes.files.of_node(node) {
            Some((file, _)) => facts.files.items[file as usize].kind != FileKind::Plain,
            None => nodes.processes.of_node(node).is_none(),
        };
        let is_process = |node: Node| node < nodes.processes.end();
        for exec in &facts.execs {
            for file in exec.file.into_iter().chain(exec.interpreter).map(|file| nodes.files.node(file, 0)) {
                if is_channel(file) {
                    note(&mut reads, file, exec.at);
                }
            }
        }
        for edge in edges.iter() {
            if is_process(edge.to) && !is_process(edge.from) && is_channel(edge.from) {
                note(&mut reads, edge.from, edge.first);
            } else if is_process(edge.from) && !is_process(edge.to) && is_channel(edge.to) {
                note(&mut writes, edge.to, edge.first);
            }
        }
        writes.retain(|node, written| reads.get(node).is_some_and(|read| read < written));
        let early = Self(writes.into_iter().map(|(node, written)| (node, (written, reads[&node]))).collect());
        for edge in edges.iter_mut() {
            edge.first = early.begin(nodes, edge).unwrap_or(edge.first);
        }
        let blocks = early.blocks((nodes, channels), seen);
        uses.all(
            |block| blocks.contains(&block),
            |_, one| {
                if one.way == Way::Written {
                    of_use((facts, nodes, channels), &one, |edge| {
                        edges.extend(early.begin(nodes, &edge).map(|first| Edge { first, ..edge }));
                    });
                }
            },
        );
        early
    }

    /// Returns the numbers of the blocks that have first writes to these channels.
    fn blocks(&self, (nodes, channels): (&Nodes, &Channels), seen: &Seen) -> HashSet<u32> {
        let mut blocks = HashSet::default();
        for (object, times) in &seen.channels {
            each_end(nodes, channels, *object, Way::Written, |end, _| {
                let node = match end {
                    End::Node(node) => node,
                    End::File(file) => nodes.files.node(file, 0),
                };
                if self.0.get(&node).is_some_and(|(written, _)| *written == times.written) {
                    blocks.extend(times.blocks.0..=times.blocks.1);
                }
            });
        }
        blocks
    }

    /// Returns the time at which an edge began, if that is before its first time.
    pub(super) fn begin(&self, nodes: &Nodes, edge: &Edge) -> Option<i64> {
        let (_, read) = self.0.get(&edge.to).filter(|(written, _)| *written == edge.first)?;
        // Not before the program was there that wrote.
        let begin = nodes.processes.begin(edge.from).unwrap_or(i64::MIN);
        Some(begin.max(*read)).filter(|begin| *begin < edge.first)
    }
}
