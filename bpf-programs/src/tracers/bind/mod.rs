//! Tracer `bind`: TCP, UDP and unix sockets that are bound to an address or begin to listen, failed calls
//! included.
//!
//! **Hook.** The ends of `bind` and `listen`, by [`crate::syscalls`].
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Reading the fields of one socket; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{BIND, LISTEN, Stage};
use crate::tracers::sock;
use crate::tracers::{uring, uring_sock, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
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
        uring_unposted::ENTERED,
        uring_unposted::WORKED,
        uring_unposted::OVERFLOW,
        uring_unposted::ENDED,
    ],
    decode: sock::decode,
};
