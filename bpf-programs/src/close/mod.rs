//! Tracer `close`: ends of TCP connections, with the bytes that the programs here wrote and read, from connect or accept
//! to the end. Connections that were there before the tracer are not told: whose they are is not known.
//!
//! **Hook.** BTF tracepoint `inet_sock_set_state`, whatever ended the connection; who it belongs to is remembered where
//! it began. The bytes come from the connection's own sequence numbers, so that no way of reading or writing is missed.
//! Unix sockets have no hook at their end that could tell a connection's bytes: neither tracepoint nor counter, so their
//! ends are not told. Bytes of connections that the kernel encrypts (kTLS) are those on the line.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Two comparisons for other changes of state; an entry of 300 bytes while a connection lasts.

use crate::programs::{Hook, Program, Tracer};
use crate::wire::Kind;
use crate::{accept, connect, sock, uring, uring_sock};

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "close",
    kind: Kind::Close,
    programs: &[
        connect::EXIT,
        connect::STATE,
        accept::EXIT,
        uring::SUBMIT,
        uring_sock::COMPLETE,
        Program { name: "close_state", hook: Hook::BtfTracepoint("inet_sock_set_state"), without: None },
    ],
    decode: sock::decode,
};
