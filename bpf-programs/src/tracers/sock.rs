//! Decodes the records shared by tracers `connect`, `accept`, `close`, `bind` and `udp`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Details, Ends, Moment, Record, Socket, SocketIds, Text, Traffic, Transfer};

use crate::syscalls::{
    ACCEPT, ACCEPT4, BIND, CONNECT, LISTEN, READ, READV, RECVFROM, RECVMMSG, RECVMSG, SENDMMSG, SENDMSG,
    SENDTO, Syscall, WRITE, WRITEV,
};
use crate::text;
use crate::wire;
use crate::wire::{Family, Kind, SockRecord, TEXT_UNREADABLE, Texts, WireError, view};

/// Bit of [`SockRecord::flags`], like the following: the caller did not wait for the connection.
const SOCK_NONBLOCKING: u16 = 1;
/// The other side connected.
const SOCK_ACCEPTED: u16 = 2;
/// The record has the sums of a flow of datagrams.
const SOCK_END: u16 = 4;
/// The datagram was received, not sent.
const SOCK_RECEIVED: u16 = 8;
/// The text `base` is the path of the socket's file.
const SOCK_KNOWN_PATH: u16 = 16;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_PACKET: u16 = 17;
const AF_VSOCK: u16 = 40;

/// Calls with a name in rows.
const CALLS: &[Syscall] = &[
    CONNECT, ACCEPT, ACCEPT4, BIND, LISTEN, SENDTO, SENDMSG, SENDMMSG, RECVFROM, RECVMSG, RECVMMSG, READ,
    READV, WRITE, WRITEV,
];

/// Returns the name of a call.
pub(crate) fn call_name(number: u32) -> Result<&'static str, WireError> {
    let found = CALLS.iter().find(|call| call.number == Some(number));
    found.map(|call| call.name).ok_or(WireError::Call(number))
}

/// Decodes what identifies the socket.
pub(crate) fn ids(raw: &wire::SocketIds) -> SocketIds {
    let known = |number: u64| (number != 0).then_some(number);
    let net_ns = (raw.net_ns != 0).then_some(raw.net_ns);
    SocketIds { ino: known(raw.ino), peer_ino: known(raw.peer_ino), net_ns }
}

/// Decodes an address of this family. An IPv4 address that is mapped into IPv6 becomes one of IPv4.
pub(crate) fn address(family: u16, bytes: [u8; 16]) -> Result<IpAddr, WireError> {
    let [a, b, c, d, ..] = bytes;
    match family {
        AF_INET => Ok(Ipv4Addr::new(a, b, c, d).into()),
        AF_INET6 => Ok(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()),
        other => Err(WireError::Family(other)),
    }
}

/// Decodes local and remote address and port.
pub(crate) fn inet(raw: &SockRecord) -> Result<Ends, WireError> {
    Ok(Ends::Inet {
        is_v6: raw.family == AF_INET6,
        local: (address(raw.family, raw.saddr)?, raw.sport),
        remote: (raw.dport != 0 || raw.daddr != [0; 16])
            .then(|| Ok((address(raw.family, raw.daddr)?, raw.dport)))
            .transpose()?,
    })
}

/// Decodes interface, protocol and hardware address of a packet socket's frames.
fn packet(raw: &SockRecord) -> Ends {
    let is_bound = raw.daddr == [0; 16];
    let from = if is_bound { &raw.saddr } else { &raw.daddr };
    let [a, b, c, d, length, ..] = *from;
    let address = from[8..].iter().take(length.into()).map(|byte| format!("{byte:02x}"));
    Ends::Packet {
        interface: u32::from_ne_bytes([a, b, c, d]),
        protocol: if is_bound { raw.sport } else { raw.dport },
        address: address.collect::<Vec<_>>().join(":"),
    }
}

/// Decodes context id and number of a port; `None` if there is neither.
fn vsock(bytes: &[u8; 16]) -> Option<(u32, u32)> {
    let [a, b, c, d, e, f, g, h, ..] = *bytes;
    let (cid, port) = (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]));
    ((cid, port) != (0, 0)).then_some((cid, port))
}

/// Decodes the bytes of a record.
///
/// # Errors
/// Fails if the bytes are not a valid record of these kinds.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<SockRecord>(bytes, Family::Socket)?;
    let ends = match raw.family {
        AF_UNIX => unix(&raw, &mut texts)?,
        AF_PACKET => packet(&raw),
        AF_VSOCK => Ends::Vsock { local: vsock(&raw.saddr), remote: vsock(&raw.daddr) },
        _ => inet(&raw)?,
    };
    texts.end()?;
    let kind = raw.header.kind()?;
    let is_flow_end = kind == Kind::Udp && raw.flags & SOCK_END != 0;
    let is_single = kind != Kind::Close && !is_flow_end;
    let socket = Socket {
        call: if is_single && kind != Kind::Connect { Some(call_name(raw.call)?) } else { None },
        ids: ids(&raw.ids),
        ends,
        kind: raw.kind,
        protocol: raw.protocol,
        ret: (!is_flow_end).then_some(raw.ret.into()),
        nonblocking: (kind == Kind::Connect).then_some(raw.flags & SOCK_NONBLOCKING != 0),
        accepted: (kind == Kind::Close).then_some(raw.flags & SOCK_ACCEPTED != 0),
        backlog: (Some(raw.call) == LISTEN.number).then_some(raw.backlog),
        direction: (kind == Kind::Udp && !is_flow_end).then_some(direction(&raw)),
        traffic: (!is_single).then_some(traffic(&raw, kind)),
    };
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Socket(Box::new(socket)),
    })
}

/// Returns whether a datagram was sent or received.
pub(crate) fn direction(raw: &SockRecord) -> Transfer {
    if raw.flags & SOCK_RECEIVED == 0 { Transfer::Sent } else { Transfer::Received }
}

fn traffic(raw: &SockRecord, kind: Kind) -> Traffic {
    let is_flow = kind == Kind::Udp;
    let end = if is_flow { raw.last_ns } else { raw.header.time_ns };
    Traffic {
        bytes_sent: raw.sent,
        bytes_received: raw.received,
        datagrams: is_flow.then_some((raw.datagrams_sent, raw.datagrams_received)),
        duration_ns: end.saturating_sub(raw.since_ns),
    }
}

/// Decodes the name of a unix socket. A name that begins with a NUL is abstract and is used whole; a path ends at its first
/// NUL.
fn unix(raw: &SockRecord, texts: &mut Texts<'_>) -> Result<Ends, WireError> {
    let (name, base) = (texts.take(raw.name)?, texts.take(raw.base)?);
    let is_abstract = name.bytes.first() == Some(&0);
    let asked = match name.bytes.iter().position(|byte| *byte == 0) {
        Some(end) if !is_abstract => &name.bytes[..end],
        _ => name.bytes,
    };
    let path = if raw.flags & SOCK_KNOWN_PATH != 0 {
        Some(text::path(base))
    } else {
        (!is_abstract && !asked.is_empty()).then(|| text::join(base, asked))
    };
    let shown = if is_abstract { [b"@", &asked[1..]].concat() } else { asked.to_vec() };
    Ok(Ends::Unix {
        path_incomplete: name.is(TEXT_UNREADABLE) || path.as_ref().is_some_and(|path| path.incomplete),
        path: path.map(|path| path.text()),
        name: Text::from_bytes(&shown),
        peer_pid: (raw.peer_pid != 0).then_some(raw.peer_pid),
    })
}
