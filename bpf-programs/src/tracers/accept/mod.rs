//! Tracer `accept`: accepted connections of TCP and unix sockets, and failed calls, except those that found no
//! connection waiting (`EAGAIN`), because programs poll that way.
//!
//! **Hook.** The ends of `accept` and `accept4`, by [`crate::syscalls`].
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Reading the fields of one socket; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{ACCEPT, ACCEPT4, Stage};
use crate::tracers::sock;
use crate::tracers::{uring, uring_sock, uring_unposted};
use crate::wire::Kind;

/// The program at the ends of the calls.
pub(crate) const EXIT: Program = Program {
    name: "accept_exit",
    hook: Hook::SyscallExits(Stage::Events, &[ACCEPT, ACCEPT4]),
    without: None,
};

pub(crate) const TRACER: Tracer = Tracer {
    name: "accept",
    kind: Kind::Accept,
    programs: &[
        EXIT,
        uring::SUBMIT,
        uring_sock::COMPLETE,
        uring_unposted::ENTERED,
        uring_unposted::WORKED,
        uring_unposted::OVERFLOW,
        uring_unposted::ENDED,
    ],
    decode: sock::decode,
};
