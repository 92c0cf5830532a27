//! The nodes that a target stands for.

use std::net::IpAddr;

use super::boundary::is_common;
use super::facts::{Address, FileOfBoot, Process};
use super::graph::Node;
use super::kinds::NodeKind;
use super::world::World;
use crate::file_id::FileId;
use crate::target::Target;

impl World {
    /// Returns the nodes of the files that these targets stand for, under all names that they have had. Labels stand for none: their
    /// files are looked up before.
    pub fn files(&self, targets: &[Target]) -> Vec<Node> {
        let is_id = |id: &FileId, known: &FileOfBoot| {
            let numbers = (known.dev, known.ino) == (id.dev, id.ino);
            numbers && id.generation.is_none_or(|generation| generation == known.generation)
        };
        let names = (0..).zip(self.facts.names.iter());
        let names = names.filter(|(_, name)| targets.iter().any(|target| target.matches(name)));
        let named = names.flat_map(|(name, _)| self.names.files(name));
        let ids: Vec<&FileId> = targets
            .iter()
            .filter_map(|target| match target {
                Target::Id(id) => Some(id),
                _ => None,
            })
            .collect();
        let files = (0..).zip(&self.facts.files.items);
        let numbered = files.filter(|(_, known)| ids.iter().any(|id| is_id(id, known))).map(|(file, _)| file);
        self.nodes_of(named.chain(numbered))
    }

    /// Returns the nodes of these files.
    fn nodes_of(&self, files: impl Iterator<Item = u32>) -> Vec<Node> {
        let mut nodes: Vec<Node> = files.flat_map(|file| self.nodes.files.nodes(file)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Returns the nodes that an identity in an answer stands for, such as `process:123-4567/1`; without the number of the epoch, those
    /// of all epochs.
    pub fn identified(&self, id: &str) -> Vec<Node> {
        let (thing, epoch) = match id.rsplit_once('/') {
            Some((thing, epoch)) => (thing, epoch.parse::<u32>().ok()),
            None => (id, None),
        };
        let rest = thing.split_once(':').map_or("", |(_, rest)| rest);
        let nodes = match NodeKind::of_id(thing) {
            Some(NodeKind::Process) => self.process(rest),
            Some(NodeKind::Address) => self.address_named(rest),
            Some(_) | None => self.all_named(id),
        };
        let is_meant =
            |node: &Node| epoch.is_none_or(|epoch| self.name(*node).id.ends_with(&format!("/{epoch}")));
        nodes.into_iter().filter(is_meant).collect()
    }

    fn address_named(&self, text: &str) -> Vec<Node> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let (host, port) = port.parse().map_or((text, None), |port| (host, Some(port)));
        self.address(host.trim_start_matches('[').trim_end_matches(']'), port)
    }

    fn all_named(&self, id: &str) -> Vec<Node> {
        (0..self.nodes.len() as Node).filter(|node| self.name(*node).id == id).collect()
    }

    /// Marks the nodes that are not left again: those of these targets, and if `has_common`, of what nearly all programs use.
    pub fn boundary(&self, targets: &[Target], has_common: bool) -> Vec<bool> {
        let is_meant =
            |name: &str| (has_common && is_common(name)) || targets.iter().any(|target| target.matches(name));
        let mut marked = vec![false; self.nodes.len()];
        let mut mark = |node: Node| marked[node as usize] = true;
        self.files(targets).into_iter().for_each(&mut mark);
        let names = (0..).zip(self.facts.names.iter()).filter(|(_, name)| is_meant(name));
        self.nodes_of(names.flat_map(|(name, _)| self.names.files(name))).into_iter().for_each(&mut mark);
        for (socket, _) in self.channels.names.iter().filter(|(_, name)| is_meant(name)) {
            mark(self.nodes.socket(*socket));
            // A socket that was accepted has the name of the one that listens, and its other end has none.
            let peers = &self.channels.of[*socket as usize].sockets;
            peers.iter().for_each(|peer| mark(self.nodes.socket(*peer)));
        }
        marked
    }

    /// Returns the nodes of a process, by its `exec_id`.
    pub fn process(&self, exec_id: &str) -> Vec<Node> {
        let process = Process::parse(exec_id).and_then(|process| self.facts.processes.known(&process));
        process.into_iter().flat_map(|process| self.nodes.processes.nodes(process)).collect()
    }

    /// Returns the nodes of an address: outside of the machine, and sockets that have it at one end; of all its ports, if none is given.
    /// `host` can also be the name that a name server gave for the address.
    pub fn address(&self, host: &str, port: Option<u16>) -> Vec<Node> {
        let is_meant = |address: &Address| {
            let found = &*address.host;
            let same_ip = found.parse::<IpAddr>().ok().zip(host.parse::<IpAddr>().ok());
            let same_host = same_ip.is_some_and(|(one, other)| one == other)
                || found == host
                || self.facts.hosts.get(found).is_some_and(|name| &**name == host);
            same_host && port.is_none_or(|port| port == address.port)
        };
        let addresses = (0..).zip(&self.channels.addresses.items).filter(|(_, address)| is_meant(address));
        let outside = addresses.map(|(address, _)| self.nodes.address(address));
        let ends = self.facts.ends.iter();
        let ends = ends.filter(|end| [&end.local, &end.remote].into_iter().flatten().any(is_meant));
        let mut nodes: Vec<Node> = outside.chain(ends.map(|end| self.nodes.socket(end.socket))).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}
