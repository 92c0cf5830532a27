//! Records of sockets.

use super::{Header, Plain, TextRef};

wire_structs! {
    /// Identity of a socket.
    pub(crate) SocketIds {
        /// Inode number of the socket; 0 if no descriptor was left.
        ino: u64,
        /// Inode number of a unix socket's other end; 0 if there is none, or it is not accepted yet.
        peer_ino: u64,
        /// Inode number of the socket's network namespace.
        net_ns: u32,
        pad: u32,
    }

    /// Record of families `Socket` and `Dns`.
    pub(crate) SockRecord {
        /// Process, thread and time.
        header: Header,
        /// Local address; an IPv4 address is in the first 4 bytes.
        saddr: [u8; 16],
        /// Remote address, in the same format.
        daddr: [u8; 16],
        /// Number of bytes sent.
        sent: u64,
        /// Number of bytes received.
        received: u64,
        /// Number of datagrams sent.
        datagrams_sent: u64,
        /// Number of datagrams received.
        datagrams_received: u64,
        /// Start of the connection or flow in nanoseconds since boot.
        since_ns: u64,
        /// Time of the flow's last datagram.
        last_ns: u64,
        /// Local port in host byte order.
        sport: u16,
        /// Remote port in host byte order.
        dport: u16,
        /// Address family: `AF_UNIX`, `AF_INET` or `AF_INET6`.
        family: u16,
        /// Socket type: `SOCK_STREAM` etc.
        kind: u16,
        /// Protocol: `IPPROTO_TCP` etc.
        protocol: u16,
        /// Bits `SOCK_NONBLOCKING` to `SOCK_KNOWN_PATH` of `include/wire.h`.
        flags: u16,
        /// Result of the call, or negative errno.
        ret: i32,
        /// Number of the system call, if the record is about one.
        call: u32,
        /// The limit on waiting connections that listen() was given.
        backlog: u32,
        /// Process at the other end of a unix socket, as `SO_PEERCRED` returns it.
        peer_pid: u32,
        /// Name of a unix socket; for kind dns the datagram.
        name: TextRef,
        /// Path of a unix socket's file, or of the directory its name starts from.
        base: TextRef,
        pad: u32,
        /// Identity of the socket.
        ids: SocketIds,
    }
}
