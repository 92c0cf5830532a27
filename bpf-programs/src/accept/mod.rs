//! Tracer `accept`: connections taken, over TCP and of unix sockets; failed calls too, but for those that found nobody
//! waiting (`EAGAIN`), which is how one asks.
//!
//! **Hook.** The ends of `accept` and `accept4`, by [`crate::syscalls`].
//! **Kernel.** 5.15 with BTF.
//! **Cost.** The fields of one socket.

use crate::programs::{Hook, Program, Tracer};
use crate::sock;
use crate::syscalls::{ACCEPT, ACCEPT4, Stage};
use crate::uring_sock;
use crate::wire::Kind;

/// Ends of calls.
pub(crate) const EXIT: Program = Program {
    name: "accept_exit",
    hook: Hook::SyscallExits(Stage::Events, &[ACCEPT, ACCEPT4]),
    without: None,
};

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "accept",
    kind: Kind::Accept,
    programs: &[EXIT, uring_sock::COMPLETE],
    decode: sock::decode,
};
