//! The other ends of sockets. Bytes that a process writes to a socket go to the queue of the socket at the other end, if that is
//! on this machine, and otherwise to an address.

use std::collections::{HashMap, HashSet};

use super::facts::{Address, Facts};
use super::seen::Seen;
use super::table::Table;

/// Ends of a connection that are further apart in time than this are of two connections with the same addresses.
const SLACK_NS: i64 = 1_000_000_000;

/// The ends that bytes get to which are written to a socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    /// Sockets of this machine.
    pub(super) sockets: Vec<u32>,
    /// Numbers of addresses outside of it.
    pub(super) outside: Vec<u32>,
    /// Whether bytes in the socket's own queue can come from a socket of this machine.
    pub(super) is_fed: bool,
}

/// The channels of all sockets, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Channels {
    pub(super) of: Vec<Channel>,
    /// The addresses outside.
    pub(super) addresses: Table<Address>,
    /// Names of sockets: a path, or the addresses of both ends.
    pub(super) names: HashMap<u32, String>,
}

/// A socket, by all rows about it.
#[derive(Clone, Debug)]
struct Known<'a> {
    locals: HashSet<&'a Address>,
    remotes: HashSet<&'a Address>,
    peers: HashSet<u32>,
    first: i64,
    last: i64,
}

impl Channels {
    /// Finds the other ends of all sockets.
    pub(super) fn of(facts: &Facts, seen: &Seen) -> Self {
        let known = known(facts, seen);
        let mut at: HashMap<&Address, Vec<u32>> = HashMap::new();
        let mut wildcard: HashMap<u16, Vec<u32>> = HashMap::new();
        let mut reverse: HashMap<u32, Vec<u32>> = HashMap::new();
        for (socket, about) in (0..).zip(&known) {
            for local in &about.locals {
                at.entry(*local).or_default().push(socket);
                if is_any(local) {
                    wildcard.entry(local.port).or_default().push(socket);
                }
            }
            about.peers.iter().for_each(|peer| reverse.entry(*peer).or_default().push(socket));
        }
        let mut channels = Self { of: vec![Channel::default(); known.len()], ..Self::default() };
        for (socket, about) in (0..).zip(&known) {
            let mut peers: Vec<u32> = about.peers.iter().copied().collect();
            if peers.is_empty() {
                // The other end knew this one, when this one's rows no longer named it.
                peers = reverse.get(&socket).cloned().unwrap_or_default();
            }
            for remote in &about.remotes {
                let exact = at.get(remote).into_iter().flatten();
                let any = wildcard.get(&remote.port).into_iter().flatten();
                let (back, open): (Vec<u32>, Vec<u32>) = exact
                    .chain(any)
                    .copied()
                    .filter(|other| fits((socket, about), (*other, &known[*other as usize])))
                    .partition(|other| !known[*other as usize].remotes.is_empty());
                // A socket that was accepted is the other end, and not the one that listens at the same address.
                let found = if back.is_empty() { open } else { back };
                if found.is_empty() {
                    let address = channels.addresses.number((*remote).clone());
                    channels.of[socket as usize].outside.push(address);
                }
                peers.extend(found);
            }
            peers.sort_unstable();
            peers.dedup();
            peers.iter().for_each(|peer| channels.of[*peer as usize].is_fed = true);
            channels.of[socket as usize].sockets = peers;
            channels.names.extend(name(about).map(|name| (socket, name)));
        }
        for end in &facts.ends {
            if let Some(path) = &end.path {
                channels.names.insert(end.socket, path.to_string());
            }
        }
        channels
    }
}

fn is_any(address: &Address) -> bool {
    matches!(&*address.host, "0.0.0.0" | "::")
}

/// Returns whether the second socket, which has the address that the first one sends to, can be its other end.
fn fits((socket, about): (u32, &Known<'_>), (other, others): (u32, &Known<'_>)) -> bool {
    let sends_back =
        others.remotes.is_empty() || about.locals.iter().any(|local| others.remotes.contains(local));
    let overlaps = about.first.saturating_sub(SLACK_NS) <= others.last
        && others.first.saturating_sub(SLACK_NS) <= about.last;
    socket != other && sends_back && overlaps
}

fn known<'a>(facts: &'a Facts, seen: &Seen) -> Vec<Known<'a>> {
    let none = Known {
        locals: HashSet::new(),
        remotes: HashSet::new(),
        peers: HashSet::new(),
        first: i64::MAX,
        last: i64::MIN,
    };
    let mut known = vec![none; facts.sockets.items.len()];
    for end in &facts.ends {
        let about = &mut known[end.socket as usize];
        about.locals.extend(&end.local);
        about.remotes.extend(&end.remote);
        about.peers.extend(end.peer);
        (about.first, about.last) = (about.first.min(end.at), about.last.max(end.at));
    }
    for (socket, (first, end)) in &seen.sockets {
        let about = &mut known[*socket as usize];
        (about.first, about.last) = (about.first.min(*first), about.last.max(*end));
    }
    known
}

fn name(about: &Known<'_>) -> Option<String> {
    let text = |address: &&Address| host_and_port(&address.host, address.port);
    let local = about.locals.iter().min().map(text);
    let remote = about.remotes.iter().min().map(text);
    match (local, remote) {
        (None, None) => None,
        (local, remote) => {
            let end = |end: Option<String>| end.unwrap_or_else(|| "?".to_owned());
            Some(format!("{} ↔ {}", end(local), end(remote)))
        }
    }
}

/// Returns an address and a port as one text; an IPv6 address is in brackets.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
