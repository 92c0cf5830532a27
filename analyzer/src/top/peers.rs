//! Finds the address at the other end of a socket whose bytes are counted.

use std::collections::{HashMap, VecDeque};

use store::typed::Value;

use super::columns::{Columns, number};
use super::sums::Sums;

/// Most sockets whose addresses are remembered; those that were heard of first are forgotten first.
const MAX_SOCKETS: usize = 16_384;

/// The addresses of sockets, from the rows that have both.
#[derive(Debug, Default)]
pub(super) struct Peers {
    addresses: HashMap<u64, Box<str>>,
    /// Sockets in the order in which they were heard of.
    order: VecDeque<u64>,
}

impl Peers {
    /// Returns the address that a row is about, and what it adds there. Rows of `usage` have the bytes of connections, and rows of `udp`
    /// those of datagrams, whose socket may have many peers.
    pub(super) fn of(
        &mut self,
        tracer: &str,
        columns: &Columns,
        row: usize,
        sums: &Sums,
    ) -> Option<(Box<str>, Sums)> {
        let socket = match number(&columns.sock_ino, row) {
            0 => None,
            socket => Some(socket),
        };
        let Some(address) = address(columns, row) else {
            return self.addresses.get(&socket?).map(|address| (address.clone(), *sums));
        };
        let none = Sums { bytes_read: 0, bytes_written: 0, bytes_mapped: 0, ..*sums };
        let traffic = match tracer {
            "udp" => {
                let (bytes_read, bytes_written) = columns.traffic(row);
                Sums { bytes_read, bytes_written, ..none }
            }
            _ => none,
        };
        if let (Some(socket), "connect" | "accept") = (socket, tracer) {
            self.remember(socket, &address);
        }
        Some((address, traffic))
    }

    fn remember(&mut self, socket: u64, address: &str) {
        if self.addresses.insert(socket, address.into()).is_none() {
            self.order.push_back(socket);
        }
        if self.order.len() > MAX_SOCKETS
            && let Some(oldest) = self.order.pop_front()
        {
            self.addresses.remove(&oldest);
        }
    }
}

/// Returns the address of the other end in a row, with its port.
fn address(columns: &Columns, row: usize) -> Option<Box<str>> {
    let Value::Text(address) = columns.daddr.value(row) else { return None };
    Some(match columns.dport.value(row) {
        Value::Int(port) if address.contains(':') => format!("[{address}]:{port}").into(),
        Value::Int(port) => format!("{address}:{port}").into(),
        _ => (*address).into(),
    })
}
