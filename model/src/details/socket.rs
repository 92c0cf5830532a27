//! What is done with sockets.

use std::net::IpAddr;

use crate::Text;

/// connect, accept, bind, listen, the end of a connection, datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The system call, where a tracer looks at several; absent from sums at an end.
    pub call: Option<&'static str>,
    /// Between which ends.
    pub ends: Ends,
    /// `SOCK_STREAM` and its like, by number (linux/net.h).
    pub kind: u16,
    /// `IPPROTO_TCP` and its like, by number; 0 of unix sockets.
    pub protocol: u16,
    /// The call's result or negative errno; at a connection's end 0 or the errno that it ended with. A connect's is its
    /// final result, not its `EINPROGRESS`. Absent from a flow's sums.
    pub ret: Option<i64>,
    /// Of a connect: the caller did not wait (`EINPROGRESS`).
    pub nonblocking: Option<bool>,
    /// Of a connection that ended: the other side had connected.
    pub accepted: Option<bool>,
    /// Of a listen: how many connections may wait.
    pub backlog: Option<u32>,
    /// Of a datagram: which way it went.
    pub direction: Option<Transfer>,
    /// Sums at an end.
    pub traffic: Option<Traffic>,
}

/// The two ends of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Addresses and ports.
    Inet {
        /// Here.
        local: (IpAddr, u16),
        /// There, where that is known.
        remote: Option<(IpAddr, u16)>,
    },
    /// A unix socket.
    Unix {
        /// Absolute path of the socket's file, seen from the process's root.
        path: Option<Text>,
        /// The path is not whole.
        path_incomplete: bool,
        /// `sun_path`, an abstract one's NUL written as `@`; empty if it has no name.
        name: Text,
        /// The process that made the other end, as `SO_PEERCRED` tells it, in the first pid namespace.
        peer_pid: Option<u32>,
    },
}

/// Which way a datagram went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Out.
    Sent,
    /// In.
    Received,
}

impl Transfer {
    /// As rows show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// What went and came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that went.
    pub bytes_sent: u64,
    /// Bytes that came.
    pub bytes_received: u64,
    /// Datagrams that went, and that came.
    pub datagrams: Option<(u64, u64)>,
    /// From the beginning to the end, or to the last datagram.
    pub duration_ns: u64,
}

/// A datagram of the domain name system, to or from port 53.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The system call.
    pub call: &'static str,
    /// Between which ends.
    pub ends: Ends,
    /// Which way it went.
    pub direction: Transfer,
    /// The call's result: bytes, or negative errno.
    pub ret: i64,
    /// What it says; `None` where that is no such message.
    pub message: Option<DnsMessage>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// Its number, by which an answer is found.
    pub id: u16,
    /// The names asked for, in the form of zone files (RFC 1035 5.1: what is not plain is escaped), a space between.
    pub name: String,
    /// Their types (`A`), likewise.
    pub query_type: String,
    /// The answer's code (`NOERROR`, `NXDOMAIN`); `None` for a question.
    pub code: Option<&'static str>,
    /// The addresses answered.
    pub addresses: Vec<IpAddr>,
    /// Not all of it could be read: it is longer than what is kept, cut by who sent it, or wrong.
    pub incomplete: bool,
}
