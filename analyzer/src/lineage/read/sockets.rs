//! Rows that name the ends of sockets, and the names of hosts.

use store::BatchRows;

use super::columns::{Column, columns};
use super::reading::{Reading, Tracer};
use crate::lineage::facts::{Address, End, Socket};

columns!(Ends {
    time,
    boot_ns,
    sock_ino,
    peer_ino,
    sock_net_ns,
    saddr,
    sport,
    daddr,
    dport,
    sun_path,
    errno
});

columns!(Names { name, addresses });

/// Tracers whose rows name ends of sockets.
pub(super) const SOCKETS: [Tracer; 6] = [
    Tracer { name: "connect", columns: &[Ends::NAMES], read: ends },
    Tracer { name: "accept", columns: &[Ends::NAMES], read: ends },
    Tracer { name: "bind", columns: &[Ends::NAMES], read: ends },
    Tracer { name: "close", columns: &[Ends::NAMES], read: ends },
    Tracer { name: "udp", columns: &[Ends::NAMES], read: ends },
    Tracer { name: "dns", columns: &[Names::NAMES], read: names },
];

fn ends(reading: &mut Reading, rows: &BatchRows) {
    let columns = Ends::of(rows);
    for row in 0..rows.len() {
        let Some((ino, at)) = columns.sock_ino.number(row).zip(columns.time.signed(row)) else { continue };
        let boot = reading.boot(at, columns.boot_ns.signed(row));
        let peer = columns.peer_ino.number(row).map(|ino| reading.facts.sockets.number(Socket { ino, boot }));
        let socket = reading.facts.sockets.number(Socket { ino, boot });
        let net_ns = columns.sock_net_ns.number(row).unwrap_or_default() as u32;
        let local = address(&columns.saddr, &columns.sport, row, net_ns);
        // A connection that failed has no other end.
        let failed = columns.errno.text(row).is_some_and(|errno| errno != "EINPROGRESS");
        let remote = address(&columns.daddr, &columns.dport, row, net_ns).filter(|_| !failed);
        let path = columns.sun_path.text(row).filter(|path| !path.is_empty()).map(Into::into);
        reading.facts.ends.push(End { socket, at, local, remote, peer, path });
    }
}

fn address(host: &Column, port: &Column, row: usize, net_ns: u32) -> Option<Address> {
    let host = host.text(row)?;
    let port = port.number(row)? as u16;
    let is_loopback =
        host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
    Some(Address { host: host.into(), port, net_ns: if is_loopback { net_ns } else { 0 } })
}

fn names(reading: &mut Reading, rows: &BatchRows) {
    let columns = Names::of(rows);
    for row in 0..rows.len() {
        let Some(name) = columns.name.text(row) else { continue };
        columns.addresses.texts(row, &mut |address| {
            reading.facts.hosts.entry(address.into()).or_insert_with(|| name.into());
        });
    }
}

impl Reading {
    /// Returns the number of a socket, and notes its other end.
    pub(super) fn socket(&mut self, ino: u64, boot: u16, peer: Option<u64>, at: i64) -> u32 {
        let socket = self.facts.sockets.number(Socket { ino, boot });
        let peer = peer.map(|ino| self.facts.sockets.number(Socket { ino, boot }));
        // Once for each pair: a socket has many rows.
        if self.paired.insert((socket, peer)) {
            self.facts.ends.push(End { socket, at, local: None, remote: None, peer, path: None });
        }
        socket
    }
}
