//! Operations on files through io_uring: recorded by the tracer of the system call that does the same, with
//! `via` added.
//!
//! **Hook.** BTF tracepoints `io_uring_submit_req` (until 6.4 `io_uring_submit_sqe`), where a request is
//! prepared and its names are in the kernel, and `io_uring_complete`, which has the result. The state of the
//! first is kept for the second.
//! **Kernel.** 6.0: before that `io_uring_complete` does not identify the request.
//! **Cost.** Two comparisons for requests that no tracer records.

use crate::programs::{Hook, Program};

const WITHOUT: Option<&str> = Some("what is done through io_uring");

/// The program at the start of a request.
pub(crate) const SUBMIT: Program = Program {
    name: "uring_submit",
    hook: Hook::FirstBtfTracepoint(&["io_uring_submit_req", "io_uring_submit_sqe"]),
    without: WITHOUT,
};

/// The program at the result of a request.
pub(crate) const COMPLETE: Program =
    Program { name: "uring_complete", hook: Hook::BtfTracepoint("io_uring_complete"), without: WITHOUT };
