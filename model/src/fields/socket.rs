//! Fields of socket and DNS records.

use std::borrow::Cow;

use crate::extended::{Field, visit_text};
use crate::{Dns, Ends, Socket, SocketIds, Text};

type Visitor<'a, 'v> = &'v mut dyn FnMut(&'a str, Field<'a>);

/// Returns the path of a unix socket's file.
pub(super) fn has_incomplete_path(socket: &Socket) -> bool {
    matches!(socket.ends, Ends::Unix { path_incomplete: true, .. })
}

pub(super) fn path(socket: &Socket) -> Option<&Text> {
    match &socket.ends {
        Ends::Unix { path, .. } => path.as_ref(),
        Ends::Inet { .. } | Ends::Packet { .. } | Ends::Vsock { .. } => None,
    }
}

pub(super) fn visit<'a>(socket: &'a Socket, field: Visitor<'a, '_>) {
    if let Some(call) = socket.call {
        field("call", Field::Str(call.into()));
    }
    visit_ids(&socket.ids, field);
    visit_ends(&socket.ends, field);
    if matches!(socket.ends, Ends::Inet { .. })
        && let Some(protocol) = protocol_name(socket.protocol)
    {
        field("protocol", Field::Str(protocol));
    }
    field("type", Field::Str(type_name(socket.kind)));
    if let Some(nonblocking) = socket.nonblocking {
        field("nonblocking", Field::Bool(nonblocking));
    }
    if let Some(accepted) = socket.accepted {
        field("accepted", Field::Bool(accepted));
    }
    if let Some(backlog) = socket.backlog {
        field("backlog", Field::Uint(backlog.into()));
    }
    if let Some(direction) = socket.direction {
        field("direction", Field::Str(direction.as_str().into()));
    }
    if let Some(traffic) = &socket.traffic {
        field("bytes_sent", Field::Uint(traffic.bytes_sent));
        field("bytes_received", Field::Uint(traffic.bytes_received));
        if let Some((sent, received)) = traffic.datagrams {
            field("datagrams_sent", Field::Uint(sent));
            field("datagrams_received", Field::Uint(received));
        }
        field("duration_ns", Field::Uint(traffic.duration_ns));
    }
}

pub(super) fn visit_ids<'a>(ids: &SocketIds, field: Visitor<'a, '_>) {
    let ids = [("sock_ino", ids.ino), ("peer_ino", ids.peer_ino), ("sock_net_ns", ids.net_ns.map(u64::from))];
    for (name, id) in ids {
        if let Some(id) = id {
            field(name, Field::Uint(id));
        }
    }
}

fn visit_ends<'a>(ends: &'a Ends, field: Visitor<'a, '_>) {
    match ends {
        Ends::Inet { is_v6, local, remote } => {
            let family = if *is_v6 { "AF_INET6" } else { "AF_INET" };
            field("family", Field::Str(family.into()));
            field("saddr", Field::Str(local.0.to_string().into()));
            field("sport", Field::Uint(local.1.into()));
            if let Some((address, port)) = remote {
                field("daddr", Field::Str(address.to_string().into()));
                field("dport", Field::Uint((*port).into()));
            }
        }
        Ends::Packet { interface, protocol, address } => {
            field("family", Field::Str("AF_PACKET".into()));
            field("interface", Field::Uint((*interface).into()));
            field("protocol", Field::Str(format!("{protocol:#06x}").into()));
            if !address.is_empty() {
                field("daddr", Field::Str(address.as_str().into()));
            }
        }
        Ends::Vsock { local, remote } => {
            field("family", Field::Str("AF_VSOCK".into()));
            for (name, end) in [("saddr", local), ("daddr", remote)] {
                if let Some((cid, port)) = end {
                    field(name, Field::Str(format!("{cid}:{port}").into()));
                }
            }
        }
        Ends::Unix { path_incomplete, name, peer_pid, .. } => {
            field("family", Field::Str("AF_UNIX".into()));
            visit_text("sun_path", "sun_path_bytes", name, field);
            if let Some(pid) = peer_pid {
                field("peer_pid", Field::Uint((*pid).into()));
            }
            if *path_incomplete {
                field("path_incomplete", Field::Bool(true));
            }
        }
    }
}

pub(super) fn visit_dns<'a>(dns: &'a Dns, field: Visitor<'a, '_>) {
    field("call", Field::Str(dns.call.into()));
    visit_ids(&dns.ids, field);
    visit_ends(&dns.ends, field);
    field("direction", Field::Str(dns.direction.as_str().into()));
    let Some(message) = &dns.message else {
        field("malformed", Field::Bool(true));
        return;
    };
    field("dns_id", Field::Uint(message.id.into()));
    field("name", Field::Str(message.name.as_str().into()));
    field("query_type", Field::Str(message.query_type.as_str().into()));
    if let Some(code) = message.code {
        field("rcode", Field::Str(code.into()));
        let addresses = message.addresses.iter().map(|address| Cow::Owned(address.to_string()));
        field("addresses", Field::Names(addresses.collect()));
    }
    if message.incomplete {
        field("incomplete", Field::Bool(true));
    }
}

/// Returns the name of a protocol, unless it is the usual one of its socket type.
fn protocol_name(protocol: u16) -> Option<Cow<'static, str>> {
    match protocol {
        6 | 17 => None,
        1 => Some("IPPROTO_ICMP".into()),
        58 => Some("IPPROTO_ICMPV6".into()),
        132 => Some("IPPROTO_SCTP".into()),
        136 => Some("IPPROTO_UDPLITE".into()),
        255 => Some("IPPROTO_RAW".into()),
        262 => Some("IPPROTO_MPTCP".into()),
        other => Some(other.to_string().into()),
    }
}

fn type_name(kind: u16) -> Cow<'static, str> {
    match kind {
        1 => "SOCK_STREAM".into(),
        2 => "SOCK_DGRAM".into(),
        3 => "SOCK_RAW".into(),
        5 => "SOCK_SEQPACKET".into(),
        other => other.to_string().into(),
    }
}
