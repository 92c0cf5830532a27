//! Tracer `bind`: TCP, UDP and unix sockets get an address, or listen; failed calls too.
//!
//! **Hook.** The ends of `bind` and `listen`, by [`crate::syscalls`].
//! **Kernel.** 5.15 with BTF.
//! **Cost.** The fields of one socket.

use crate::programs::{Hook, Program, Tracer};
use crate::sock;
use crate::syscalls::{BIND, LISTEN, Stage};
use crate::wire::Kind;
use crate::{uring, uring_sock};

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "bind",
    kind: Kind::Bind,
    programs: &[
        Program {
            name: "bind_exit",
            hook: Hook::SyscallExits(Stage::Events, &[BIND, LISTEN]),
            without: None,
        },
        uring::SUBMIT,
        uring_sock::COMPLETE,
    ],
    decode: sock::decode,
};
