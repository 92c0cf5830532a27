//! Requests of io_uring whose completion is not posted: the program asked for none (`IOSQE_CQE_SKIP_SUCCESS`), or the
//! completion queue was full. They are recorded by the tracers of the system calls, like [`crate::tracers::uring`], with
//! their results, which stay in the kernel's requests until these are used again.
//!
//! **Hook.** The end of `io_uring_enter` and BTF tracepoint `io_uring_task_work_run`, after which requests have ended; BTF
//! tracepoint `io_uring_cqe_overflow`; BTF tracepoint `sched_process_exit`; a task iterator, which the agent reads every
//! 5 s. Requests that were not found before their memory is used again, or before their ring or
//! process ends, are recorded without a result. With tier `function` also the ends of the functions that do the work.
//! **Kernel.** 6.0, as `uring`.
//! **Cost.** One load where no request without a completion waits; else one map lookup for each free request of the ring.

use crate::programs::{ByFunction, Function, Hook, Program, at_function};
use crate::syscalls::{IO_URING_ENTER, Stage};
use crate::wire::Kind;

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

/// Defines programs at the ends of the functions that do the work of requests. A kernel that lacks such a function lacks the
/// operation, or does its work in another one; then the other programs find the results.
macro_rules! at_ends {
    ($($constant:ident = $name:literal at $function:literal;)*) => {
        $(const $constant: Program =
            Program { without: WITHOUT, ..at_function!($name, exit of [$function], ()) };)*
    };
}

at_ends! {
    CONNECTED = "uring_connected" at "io_connect";
    ACCEPTED = "uring_accepted" at "io_accept";
    BOUND = "uring_bound" at "io_bind";
    LISTENS = "uring_listens" at "io_listen";
    SENT = "uring_sent" at "io_send";
    SENT_MESSAGE = "uring_sent_message" at "io_sendmsg";
    RECEIVED = "uring_received" at "io_recv";
    RECEIVED_MESSAGE = "uring_received_message" at "io_recvmsg";
    READ = "uring_read" at "io_read";
    READ_FIXED = "uring_read_fixed" at "io_read_fixed";
    WRITTEN = "uring_written" at "io_write";
    WRITTEN_FIXED = "uring_written_fixed" at "io_write_fixed";
    SPLICED = "uring_spliced" at "io_splice";
    TEED = "uring_teed" at "io_tee";
    ALLOCATED = "uring_allocated" at "io_fallocate";
    SHORTENED = "uring_shortened" at "io_ftruncate";
    SET_ATTRIBUTE = "uring_set_attribute" at "io_setxattr";
    SET_FILE_ATTRIBUTE = "uring_set_file_attribute" at "io_fsetxattr";
}

const fn at_functions(kind: Kind, programs: &'static [Program]) -> ByFunction {
    ByFunction { kind, calls: &[], programs }
}

const DATAGRAMS: &[Program] = &[SENT, SENT_MESSAGE, RECEIVED, RECEIVED_MESSAGE, READ, WRITTEN];

pub(crate) const CONNECT: ByFunction = at_functions(Kind::Connect, &[CONNECTED]);
pub(crate) const ACCEPT: ByFunction = at_functions(Kind::Accept, &[ACCEPTED]);
pub(crate) const BIND: ByFunction = at_functions(Kind::Bind, &[BOUND, LISTENS]);
pub(crate) const CLOSE: ByFunction = at_functions(Kind::Close, &[CONNECTED, ACCEPTED]);
pub(crate) const UDP: ByFunction = at_functions(Kind::Udp, DATAGRAMS);
pub(crate) const DNS: ByFunction = at_functions(Kind::Dns, DATAGRAMS);
pub(crate) const TRUNCATE: ByFunction = at_functions(Kind::Truncate, &[ALLOCATED, SHORTENED]);
pub(crate) const ATTR: ByFunction = at_functions(Kind::Attr, &[SET_ATTRIBUTE, SET_FILE_ATTRIBUTE]);
pub(crate) const USAGE: ByFunction = at_functions(
    Kind::Usage,
    &[
        SENT,
        SENT_MESSAGE,
        RECEIVED,
        RECEIVED_MESSAGE,
        READ,
        READ_FIXED,
        WRITTEN,
        WRITTEN_FIXED,
        SPLICED,
        TEED,
    ],
);
