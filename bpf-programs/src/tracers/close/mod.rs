//! Tracer `close`: ends of TCP connections, with the bytes that the programs at this end wrote and read, from
//! connect or accept to the end. Connections that began before the tracer are not recorded: their process is
//! not known.
//!
//! **Hook.** BTF tracepoint `inet_sock_set_state`, however the connection ends; its process is remembered from
//! the beginning. The bytes come from the connection's own sequence numbers, so that no way of reading or
//! writing is missed. Unix sockets are not recorded: neither a tracepoint nor a counter gives the bytes at
//! their end. For a connection that the kernel encrypts (kTLS) the bytes are those sent over the network.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Two comparisons for other changes of state; an entry of 300 bytes while a connection lasts.

use crate::programs::{Hook, Program, Tracer};
use crate::tracers::{accept, connect, sock, uring, uring_sock, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "close",
    kind: Kind::Close,
    programs: &[
        connect::EXIT,
        connect::STATE,
        accept::EXIT,
        uring::SUBMIT,
        uring_sock::COMPLETE,
        uring_unposted::ENTERED,
        uring_unposted::WORKED,
        uring_unposted::OVERFLOW,
        uring_unposted::ENDED,
        Program { name: "close_state", hook: Hook::BtfTracepoint("inet_sock_set_state"), without: None },
    ],
    decode: sock::decode,
};
