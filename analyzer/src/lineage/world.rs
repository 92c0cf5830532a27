//! All that happened, as a graph: facts, nodes, names and edges together.

use super::channels::{Channels, host_and_port};
use super::copies::copies;
use super::early::Early;
use super::edges::edges;
use super::facts::{Facts, FileKind};
use super::graph::{Graph, Node};
use super::kinds::NodeKind;
use super::life::Life;
use super::names::FileNames;
use super::nodes::{Nodes, Thing};
use super::programs::program;
use super::read;
use super::seen::Seen;
use super::uses::Uses;
use crate::render::words;
use crate::span::Span;
use crate::{Error, Store};

/// The flows of data that a store has recorded.
#[derive(Debug)]
pub struct World {
    pub(super) facts: Facts,
    pub(super) channels: Channels,
    pub(super) nodes: Nodes,
    pub(super) names: FileNames,
    /// Bytes that processes read and wrote.
    pub(super) uses: Uses,
    /// Events of the lives of processes.
    pub(super) life: Life,
    /// Edges of everything else.
    pub(super) rest: Graph,
    pub(super) early: Early,
    pub(super) span: Span,
    /// The collector of the rows, which is the machine unless the configuration names it.
    pub host: String,
}

/// Description of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName {
    /// Identity, for example `file:8388609:77:3/0`.
    pub id: String,
    /// Kind of node.
    pub kind: NodeKind,
    /// Name for people: a path, a command, an address.
    pub name: String,
    /// All other names that it had.
    pub others: Vec<String>,
    /// Number of the contents, from 1 on, if a file has had several.
    pub contents: Option<u32>,
}

impl World {
    /// Reads the rows. Only data that moved in a span of time are followed.
    ///
    /// # Errors
    /// The store can't be read, or is not columnar.
    pub fn read(store: &Store, span: Span) -> Result<Self, Error> {
        if !store.is_columnar() {
            return Err(Error::NotColumnar { path: store.path().to_owned() });
        }
        let (facts, uses) = read::facts(store)?;
        let host = store.tables()?.into_iter().next().map(|table| table.collector_id).unwrap_or_default();
        Ok(Self::of(facts, uses, span, host))
    }

    pub(super) fn of(mut facts: Facts, uses: Uses, span: Span, host: String) -> Self {
        let names = FileNames::of(&mut facts);
        // Nothing is looked up any more by these.
        facts.names.forget();
        facts.files.forget();
        let seen = Seen::of(&facts, &uses);
        let channels = Channels::of(&facts, &seen);
        let nodes = Nodes::of(&facts, &channels);
        let life = Life::of(&mut facts, &nodes);
        let mut rest = edges(&mut facts, &nodes, &channels);
        rest.extend(copies(&seen.copying, &nodes, &channels));
        let early = Early::of((&facts, &nodes, &channels), (&seen, &uses), &mut rest);
        let rest = Graph::new(nodes.len(), rest);
        Self { facts, channels, nodes, names, uses, life, rest, early, span, host }
    }

    /// Names the tracers whose rows are read.
    pub fn tracers() -> impl Iterator<Item = &'static str> {
        read::tracers()
    }

    /// Describes a node.
    pub fn name(&self, node: Node) -> NodeName {
        let plain =
            |id: String, kind, name: String| NodeName { id, kind, name, others: Vec::new(), contents: None };
        match self.nodes.thing(node) {
            Thing::Process { process, epoch } => {
                let id = format!("process:{}/{epoch}", self.facts.processes.items[process as usize]);
                plain(id, NodeKind::Process, self.command(process, node))
            }
            Thing::File { file, epoch } => self.file_name(file, epoch),
            Thing::Socket(socket) => {
                let ino = self.facts.sockets.items[socket as usize].ino;
                let name = self.channels.names.get(&socket).cloned();
                plain(
                    format!("socket:{ino}"),
                    NodeKind::Socket,
                    name.unwrap_or_else(|| format!("socket {ino}")),
                )
            }
            Thing::Sent(socket) => {
                let ino = self.facts.sockets.items[socket as usize].ino;
                let name =
                    self.channels.names.get(&socket).map_or_else(|| format!("socket {ino}"), Clone::clone);
                plain(format!("socket:{ino}:peer"), NodeKind::Socket, format!("unknown other end of {name}"))
            }
            Thing::Queue(queue) => {
                let queue = &self.facts.queues.items[queue as usize];
                let id = format!("queue:{}:{}", queue.ipc_ns, queue.id);
                plain(id, NodeKind::Queue, format!("System V object {}", queue.id))
            }
            Thing::Address(address) => {
                let address = &self.channels.addresses.items[address as usize];
                let text = host_and_port(&address.host, address.port);
                let host = self.facts.hosts.get(&address.host);
                let name = host.map_or_else(
                    || text.clone(),
                    |host| format!("{} ({text})", host_and_port(host, address.port)),
                );
                plain(format!("address:{text}"), NodeKind::Address, name)
            }
        }
    }

    /// Returns the name of the program that a process runs, and its number.
    fn command(&self, process: u32, node: Node) -> String {
        let pid = self.facts.processes.items[process as usize].pid;
        let name = program(&self.facts, &self.nodes, node);
        words::process(name.map(|name| self.facts.names.get(name)), Some(pid.into()))
    }

    fn file_name(&self, file: u32, epoch: u32) -> NodeName {
        let id = self.facts.files.items[file as usize];
        let of_name = |name: u32| self.facts.names.get(name).to_owned();
        let last = self.names.last(file);
        let others = self.names.names(file).filter(|name| Some(*name) != last).map(of_name).collect();
        let numbers = format!("{}:{}:{}", id.dev, id.ino, id.generation);
        let (id, kind) = match id.kind {
            FileKind::Plain => (format!("file:{numbers}/{epoch}"), NodeKind::File),
            FileKind::Pipe => (format!("pipe:{}", id.ino), NodeKind::Pipe),
            FileKind::Fifo => (format!("fifo:{numbers}"), NodeKind::Fifo),
        };
        let name = last.map_or_else(|| id.replace(':', " "), of_name);
        // A file that was not seen before it was emptied, as a new one, had no contents that count.
        let nodes = self.nodes.files.nodes(file);
        let emptied = self.nodes.files.begin(nodes.start + 1).filter(|_| nodes.len() > 1);
        let is_new = emptied.is_some() && emptied == self.names.first_time(file);
        let count = nodes.len() - usize::from(is_new);
        let contents = (count > 1).then_some((epoch + 1).saturating_sub(u32::from(is_new)).max(1));
        NodeName { id, kind, name, others, contents }
    }
}
