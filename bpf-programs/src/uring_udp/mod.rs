//! Datagrams of UDP that go and come through io_uring: told by the tracers of the system calls, like [`crate::uring`].
//!
//! **Hook.** BTF tracepoint `io_uring_complete`, a program of its own for the reason that [`crate::uring_sock`] is one.
//! **Kernel.** 6.0.
//! **Cost.** Other requests: one comparison; those that move bytes of something else: four loads.

use crate::programs::{Hook, Program};

/// When the result is there.
pub const COMPLETE: Program = Program {
    name: "uring_udp",
    hook: Hook::BtfTracepoint("io_uring_complete"),
    without: Some("what is done through io_uring"),
};
