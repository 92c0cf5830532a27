//! Tracer `connect`: connections over TCP, IPv4 and IPv6, and of unix sockets, with their final result.
//!
//! **Hook.** BTF tracepoint `inet_sock_set_state` for TCP: the state changes to `SYN_SENT` in the task that connects,
//! by whatever call (`connect`, a send with `MSG_FASTOPEN`, io_uring), and shows the outcome later. The end of `connect`
//! for unix sockets, and for calls that failed before the state changed.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Reading the fields of one socket, see `docs/BENCHMARKS.md`; two comparisons for other changes of a
//! socket's state.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{CONNECT, Stage};
use crate::tracers::sock;
use crate::tracers::{uring, uring_sock, uring_unposted};
use crate::wire::Kind;

/// The program at the ends of calls.
pub(crate) const EXIT: Program =
    Program { name: "connect_exit", hook: Hook::SyscallExits(Stage::Events, &[CONNECT]), without: None };

/// The program that sees TCP connections begin and succeed or fail.
pub(crate) const STATE: Program = Program {
    name: "connect_state",
    hook: Hook::BtfTracepoint("inet_sock_set_state"),
    without: Some("connections over TCP"),
};

pub(crate) const TRACER: Tracer = Tracer {
    name: "connect",
    kind: Kind::Connect,
    programs: &[
        EXIT,
        STATE,
        uring::SUBMIT,
        uring_sock::COMPLETE,
        uring_unposted::ENTERED,
        uring_unposted::WORKED,
        uring_unposted::OVERFLOW,
        uring_unposted::ENDED,
    ],
    decode: sock::decode,
};
