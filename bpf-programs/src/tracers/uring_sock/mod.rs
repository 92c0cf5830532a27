//! Operations on sockets through io_uring: recorded by the tracers of the system calls, like [`crate::tracers::uring`].
//!
//! **Hook.** BTF tracepoint `io_uring_complete`, a program of its own, because it does what three tracers do at
//! the ends of calls.
//! **Kernel.** 6.0; `bind` and `listen` from 6.11, where io_uring has them.
//! **Cost.** One comparison for other requests.

use crate::programs::{Hook, Program};

/// The program at the result of a request.
pub(crate) const COMPLETE: Program = Program {
    name: "uring_sock",
    hook: Hook::BtfTracepoint("io_uring_complete"),
    without: Some("what is done through io_uring"),
};
