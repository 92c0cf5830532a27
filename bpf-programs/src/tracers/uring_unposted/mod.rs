//! Requests of io_uring whose completion is not posted: the program asked for none (`IOSQE_CQE_SKIP_SUCCESS`), or the
//! completion queue was full. They are recorded by the tracers of the system calls, like [`crate::tracers::uring`], with
//! their results, which stay in the kernel's requests until these are used again.
//!
//! **Hook.** The end of `io_uring_enter` and BTF tracepoint `io_uring_task_work_run`, after which requests have ended; BTF
//! tracepoint `io_uring_cqe_overflow`; BTF tracepoint `sched_process_exit`; a task iterator, which the agent reads every
//! 5 s. Requests that were not found before their memory is used again, or before their ring or
//! process ends, are recorded without a result.
//! **Kernel.** 6.0, as `uring`.
//! **Cost.** One load where no request without a completion waits; else one map lookup for each free request of the ring.

use crate::programs::{Hook, Program};
use crate::syscalls::{IO_URING_ENTER, Stage};

const WITHOUT: Option<&str> = Some("results of requests of io_uring that post no completion");

/// The program at the end of a call that submits requests.
pub(crate) const ENTERED: Program = Program {
    name: "uring_entered",
    hook: Hook::SyscallExits(Stage::Events, &[IO_URING_ENTER]),
    without: WITHOUT,
};

/// The program after the work that requests leave to their thread.
pub(crate) const WORKED: Program =
    Program { name: "uring_worked", hook: Hook::BtfTracepoint("io_uring_task_work_run"), without: WITHOUT };

/// The program at a completion that finds no room.
pub(crate) const OVERFLOW: Program = Program {
    name: "uring_overflow",
    hook: Hook::BtfTracepoint("io_uring_cqe_overflow"),
    without: Some("requests of io_uring whose completion queue is full"),
};

/// The program at the end of a process.
pub(crate) const ENDED: Program =
    Program { name: "uring_ended", hook: Hook::BtfTracepoint("sched_process_exit"), without: WITHOUT };

/// The program that finds the requests that no other program has found.
pub(crate) const SWEEP: Program = Program { name: "uring_sweep", hook: Hook::TaskIterator, without: None };

/// Largest number of rings that one sweep searches.
pub(crate) const RINGS: usize = 64;

/// The time between two sweeps, in nanoseconds.
pub(crate) const INTERVAL_NS: u64 = 5_000_000_000;
