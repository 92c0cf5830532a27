//! What is asked for through io_uring: told by the tracer of the system call that does the same, with `via` beside.
//!
//! **Hook.** BTF tracepoints `io_uring_submit_req` (until 6.4 `io_uring_submit_sqe`), where a request is prepared and its
//! names are in the kernel, and `io_uring_complete`, which has the result. What the first sees is kept for the second.
//! **Kernel.** 6.0: before that `io_uring_complete` does not tell which request it is about.
//! **Cost.** Requests that no tracer wants: two comparisons.

use crate::programs::{Hook, Program};

const WITHOUT: Option<&str> = Some("what is done through io_uring");

/// When a request is about to be started.
pub const SUBMIT: Program = Program {
    name: "uring_submit",
    hook: Hook::FirstBtfTracepoint(&["io_uring_submit_req", "io_uring_submit_sqe"]),
    without: WITHOUT,
};

/// When its result is there.
pub const COMPLETE: Program =
    Program { name: "uring_complete", hook: Hook::BtfTracepoint("io_uring_complete"), without: WITHOUT };
