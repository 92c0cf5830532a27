//! The nodes that a target stands for.

use std::net::IpAddr;

use super::facts::Process;
use super::graph::Node;
use super::world::World;

impl World {
    /// Returns the nodes of all files that have had a path for which `is_meant` is true.
    pub fn files_named(&self, is_meant: impl Fn(&str) -> bool) -> Vec<Node> {
        let names = (0..).zip(&self.facts.names.items).filter(|(_, name)| is_meant(name));
        self.nodes_of(names.flat_map(|(name, _)| self.names.files(name)))
    }

    /// Returns the nodes of the files with these numbers; of all generations, if none is given.
    pub fn files_numbered(&self, dev: u64, ino: u64, generation: Option<u32>) -> Vec<Node> {
        let files = (0..).zip(&self.facts.files.items);
        let files = files.filter(|(_, id)| (id.dev, id.ino) == (dev, ino));
        let files = files.filter(|(_, id)| generation.is_none_or(|generation| generation == id.generation));
        self.nodes_of(files.map(|(file, _)| file))
    }

    /// Returns the nodes of these files, and of those that are the same in another layer of an overlay.
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
        let (kind, rest) = thing.split_once(':').unwrap_or_default();
        let nodes = match kind {
            "process" => self.process(rest),
            "address" => {
                let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
                let host = host.trim_start_matches('[').trim_end_matches(']');
                match port.parse() {
                    Ok(port) => self.address(host, Some(port)),
                    Err(_) => self.address(rest.trim_start_matches('[').trim_end_matches(']'), None),
                }
            }
            _ => (0..self.graph.nodes() as Node).filter(|node| self.name(*node).id == id).collect(),
        };
        let is_meant =
            |node: &Node| epoch.is_none_or(|epoch| self.name(*node).id.ends_with(&format!("/{epoch}")));
        nodes.into_iter().filter(is_meant).collect()
    }

    /// Marks the nodes of all files that have had a path for which `is_meant` is true, for a boundary.
    pub fn marked(&self, is_meant: impl Fn(&str) -> bool) -> Vec<bool> {
        let mut marked = vec![false; self.graph.nodes()];
        self.files_named(&is_meant).into_iter().for_each(|node| marked[node as usize] = true);
        for (socket, name) in &self.channels.names {
            if is_meant(name) {
                marked[self.nodes.socket(*socket) as usize] = true;
                // What is sent to the listener is received by the socket that it accepts.
                let peers = &self.channels.of[*socket as usize].sockets;
                peers.iter().for_each(|peer| marked[self.nodes.socket(*peer) as usize] = true);
            }
        }
        marked
    }

    /// Returns the nodes of a process, by its `exec_id`.
    pub fn process(&self, exec_id: &str) -> Vec<Node> {
        let process = Process::parse(exec_id).and_then(|process| self.facts.processes.known(&process));
        process.into_iter().flat_map(|process| self.nodes.processes.nodes(process)).collect()
    }

    /// Returns the nodes of an address outside of the machine: of all its ports, if none is given. It can be the name of a host.
    pub fn address(&self, host: &str, port: Option<u16>) -> Vec<Node> {
        let is_meant = |found: &str| {
            let same_ip = found.parse::<IpAddr>().ok().zip(host.parse::<IpAddr>().ok());
            same_ip.is_some_and(|(one, other)| one == other)
                || found == host
                || self.facts.hosts.get(found).is_some_and(|name| &**name == host)
        };
        let addresses = (0..).zip(&self.channels.addresses.items);
        let addresses = addresses.filter(|(_, address)| is_meant(&address.host));
        let addresses = addresses.filter(|(_, address)| port.is_none_or(|port| port == address.port));
        addresses.map(|(address, _)| self.nodes.address(address)).collect()
    }
}
