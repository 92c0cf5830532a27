//! Socket calls, connections and DNS datagrams.

use std::net::IpAddr;

use crate::Text;

/// A connect, accept, bind or listen, a datagram, or the end of a connection or flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Name of the system call, for tracers that trace several; absent from the record of an ended connection or flow.
    pub call: Option<&'static str>,
    /// Identity of the socket.
    pub ids: SocketIds,
    /// The socket's two ends.
    pub ends: Ends,
    /// Socket type: the number of `SOCK_STREAM` etc. (linux/net.h).
    pub kind: u16,
    /// Protocol: the number of `IPPROTO_TCP` etc.; 0 for sockets of other families.
    pub protocol: u16,
    /// Result of the call or negative errno; for an ended connection, 0 or the errno that it ended with. For a connect
    /// this is the final result, not `EINPROGRESS`. Absent for an ended flow.
    pub ret: Option<i64>,
    /// For a connect: true if the caller did not wait (`EINPROGRESS`).
    pub nonblocking: Option<bool>,
    /// For an ended connection: true if the other side had connected.
    pub accepted: Option<bool>,
    /// For a listen: number of connections that may wait.
    pub backlog: Option<u32>,
    /// For a datagram: whether it was sent or received.
    pub direction: Option<Transfer>,
    /// Traffic of an ended connection or flow.
    pub traffic: Option<Traffic>,
}

/// Identity of a socket, so that rows about it can be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketIds {
    /// Inode number of the socket, as in `/proc/PID/fd`; `None` if no descriptor was left.
    pub ino: Option<u64>,
    /// Inode number of the other end of a unix socket, once it is accepted.
    pub peer_ino: Option<u64>,
    /// Inode number of the socket's network namespace.
    pub net_ns: Option<u32>,
}

/// The two ends of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// IP addresses and ports.
    Inet {
        /// True for an IPv6 socket. If it carries IPv4 (mapped addresses), the addresses are of IPv4.
        is_v6: bool,
        /// Local address and port.
        local: (IpAddr, u16),
        /// Remote address and port, if known.
        remote: Option<(IpAddr, u16)>,
    },
    /// A packet socket, which sends and receives the frames of an interface.
    Packet {
        /// Number of the interface; 0 if it is not known, or all.
        interface: u32,
        /// Protocol of the frames, as in their header.
        protocol: u16,
        /// Hardware address of the other end, empty if not known.
        address: String,
    },
    /// A vsock socket: context id and number of a port of each end, if known.
    Vsock {
        /// The end of the recorded process.
        local: Option<(u32, u32)>,
        /// The other end.
        remote: Option<(u32, u32)>,
    },
    /// A unix socket.
    Unix {
        /// Absolute path of the socket's file, seen from the process's root.
        path: Option<Text>,
        /// True if the path is incomplete.
        path_incomplete: bool,
        /// `sun_path`, with the NUL of an abstract name written as `@`; empty for an unnamed socket.
        name: Text,
        /// Pid, in the initial pid namespace, of the process that made the other end, as `SO_PEERCRED` reports it.
        peer_pid: Option<u32>,
    },
}

/// Direction of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Sent by the process.
    Sent,
    /// Received by the process.
    Received,
}

impl Transfer {
    /// Returns the name used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// Amount of data that a connection or flow carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Number of bytes sent.
    pub bytes_sent: u64,
    /// Number of bytes received.
    pub bytes_received: u64,
    /// Number of datagrams sent and received, for datagram sockets.
    pub datagrams: Option<(u64, u64)>,
    /// Time from the beginning to the end, or to the last datagram.
    pub duration_ns: u64,
}

/// A DNS datagram, to or from port 53.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Name of the system call.
    pub call: &'static str,
    /// Identity of the socket.
    pub ids: SocketIds,
    /// The socket's two ends.
    pub ends: Ends,
    /// Direction of the datagram.
    pub direction: Transfer,
    /// Result of the call: bytes or negative errno.
    pub ret: i64,
    /// The decoded message; `None` if the datagram is no DNS message.
    pub message: Option<DnsMessage>,
}

/// A decoded DNS message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// Message id, which the answer to a query repeats.
    pub id: u16,
    /// Queried names in the form of zone files (RFC 1035 5.1, special characters escaped), separated by spaces.
    pub name: String,
    /// Queried record types (`A`), separated by spaces.
    pub query_type: String,
    /// Response code (`NOERROR`, `NXDOMAIN`); `None` for a query.
    pub code: Option<&'static str>,
    /// Addresses in the answer.
    pub addresses: Vec<IpAddr>,
    /// True if a part could not be read: the message is longer than what is kept, truncated by its sender, or
    /// malformed.
    pub incomplete: bool,
}
