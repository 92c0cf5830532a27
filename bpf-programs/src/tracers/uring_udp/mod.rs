//! UDP datagrams through io_uring: recorded by the tracers of the system calls, like [`crate::tracers::uring`].
//!
//! **Hook.** BTF tracepoint `io_uring_complete`, a program of its own like [`crate::tracers::uring_sock`].
//! **Kernel.** 6.0.
//! **Cost.** One comparison for other requests; four loads for those that move bytes of something else.

use crate::programs::{Hook, Program};

/// The program at the result of a request.
pub(crate) const COMPLETE: Program = Program {
    name: "uring_udp",
    hook: Hook::BtfTracepoint("io_uring_complete"),
    without: Some("what is done through io_uring"),
};
