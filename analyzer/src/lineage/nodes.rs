//! The nodes of a graph: which thing each number stands for.

use std::collections::HashMap;

use super::channels::Channels;
use super::epochs::Epochs;
use super::facts::{Facts, FileKind};
use super::graph::Node;

/// The thing that a node stands for; the numbers are those of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// A process between two programs that it executed.
    Process { process: u32, epoch: u32 },
    /// The contents of a file, until they are thrown away.
    File { file: u32, epoch: u32 },
    /// The bytes that wait in a socket to be read.
    Socket(u32),
    /// The unknown other end of a socket.
    Sent(u32),
    /// A message queue.
    Queue(u32),
    /// An address outside of the machine.
    Address(u32),
}

/// The numbers of all nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) processes: Epochs,
    pub(super) files: Epochs,
    /// Numbers of the first socket, unknown end, queue and address, and after the last address.
    bases: [u32; 5],
}

impl Nodes {
    pub(super) fn of(facts: &Facts, channels: &Channels) -> Self {
        let execs = facts.execs.iter().map(|exec| (exec.process, exec.at));
        let processes = Epochs::new(facts.processes.items.len(), execs, 0);
        let is_plain = |file: u32| facts.files.items[file as usize].kind == FileKind::Plain;
        // Of an overlay's file, the contents are in the layer.
        let upper = facts.aliases.keys().filter(|alias| alias.is_upper && is_plain(alias.real));
        let mut layers: HashMap<u32, Vec<u32>> = HashMap::new();
        upper.for_each(|alias| layers.entry(alias.file).or_default().push(alias.real));
        let in_layer = |(file, at): &(u32, i64)| {
            let (layers, at) = (layers.get(file), *at);
            layers.into_iter().flatten().map(move |real| (*real, at)).collect::<Vec<_>>()
        };
        let truncations = facts.truncations.iter().filter(|(file, _)| is_plain(*file));
        let of_layers = truncations.clone().flat_map(in_layer);
        let files =
            Epochs::new(facts.files.items.len(), truncations.copied().chain(of_layers), processes.end());
        let mut next = files.end();
        let sockets = facts.sockets.items.len() as u32;
        let counts =
            [sockets, sockets, facts.queues.items.len() as u32, channels.addresses.items.len() as u32];
        let mut bases = [next; 5];
        for (index, count) in counts.into_iter().enumerate() {
            next += count;
            bases[index + 1] = next;
        }
        Self { processes, files, bases }
    }

    /// Returns the number of all nodes.
    pub(super) fn len(&self) -> usize {
        self.bases[4] as usize
    }

    pub(super) fn socket(&self, socket: u32) -> Node {
        self.bases[0] + socket
    }

    pub(super) fn sent(&self, socket: u32) -> Node {
        self.bases[1] + socket
    }

    pub(super) fn queue(&self, queue: u32) -> Node {
        self.bases[2] + queue
    }

    pub(super) fn address(&self, address: u32) -> Node {
        self.bases[3] + address
    }

    /// Returns what a node stands for.
    pub(super) fn thing(&self, node: Node) -> Thing {
        if let Some((process, epoch)) = self.processes.of_node(node) {
            return Thing::Process { process, epoch };
        }
        if let Some((file, epoch)) = self.files.of_node(node) {
            return Thing::File { file, epoch };
        }
        match self.bases.partition_point(|base| *base <= node) {
            0 | 1 => Thing::Socket(node - self.bases[0]),
            2 => Thing::Sent(node - self.bases[1]),
            3 => Thing::Queue(node - self.bases[2]),
            _ => Thing::Address(node - self.bases[3]),
        }
    }
}
