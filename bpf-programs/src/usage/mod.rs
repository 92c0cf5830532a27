//! Tracer `usage`: what each process did with each file, one way (read, written, mapped): bytes that calls returned, how
//! many calls, how, when first and last.
//!
//! Counted in the kernel and told now and then, see [`crate::ledger`]: sums over rows are the account, however fast calls
//! come. A call that failed counts nothing; one that returned 0 bytes is a call. A map counts the bytes that were mapped,
//! which says nothing of how many were touched. Descriptors that were inherited, duplicated or passed on count for who uses
//! them.
//!
//! **Hook.** The ends of the calls ([`crate::syscalls`]); BTF tracepoints `sched_process_exec`, `sched_process_exit`.
//! **Kernel.** 5.15: `bpf_for_each_map_elem` (5.13), `bpf_task_pt_regs`.
//! **Cost.** 230 ns for each call, the hook of all calls included, by `bpf_stats` on Linux 6.18 on a busy 2-CPU machine that read
//! 4 KiB in a loop.

use model::details::{Direction, Mapped, Usage};
use model::{BootNs, Details, Moment, Record};

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{
    CLOSE, COPY_FILE_RANGE, IO_GETEVENTS, IO_PGETEVENTS, MMAP, PREAD64, PREADV, PREADV2, PWRITE64, PWRITEV,
    PWRITEV2, READ, READV, RECVFROM, RECVMMSG, RECVMSG, SENDFILE, SENDMMSG, SENDMSG, SENDTO, SPLICE, Stage,
    Syscall, TEE, VMSPLICE, WRITE, WRITEV,
};
use crate::text;
use crate::uring;
use crate::wire::{Kind, UsageRecord, WireError, view};

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "usage",
    kind: Kind::Usage,
    programs: &[
        ledger(
            "usage_io",
            &[
                READ, WRITE, PREAD64, PWRITE64, READV, WRITEV, PREADV, PWRITEV, PREADV2, PWRITEV2, SENDTO,
                RECVFROM, SENDMSG, RECVMSG, VMSPLICE,
            ],
            None,
        ),
        ledger("usage_copy", &[SENDFILE, SPLICE, TEE, COPY_FILE_RANGE], None),
        ledger("usage_mmap", &[MMAP], None),
        ledger("usage_messages", &[SENDMMSG, RECVMMSG], Some("bytes of sendmmsg and recvmmsg")),
        ledger("usage_aio", &[IO_GETEVENTS, IO_PGETEVENTS], Some("bytes of libaio")),
        ledger("usage_close", &[CLOSE], Some("rows at close: they come by the interval")),
        Program {
            name: "usage_exit",
            hook: Hook::BtfTracepoint("sched_process_exit"),
            without: Some("rows at exit: they come by the interval"),
        },
        Program {
            name: "usage_exec",
            hook: Hook::BtfTracepoint("sched_process_exec"),
            without: Some("rows at exec: they come by the interval"),
        },
        uring::COMPLETE,
    ],
    decode,
};

const fn ledger(name: &'static str, calls: &'static [Syscall], without: Option<&'static str>) -> Program {
    Program { name, hook: Hook::SyscallExits(Stage::Ledger, calls), without }
}

/// What the bits of `via` mean, from the lowest.
pub const WAYS: [&str; 25] = [
    "read",
    "pread",
    "readv",
    "preadv",
    "preadv2",
    "write",
    "pwrite",
    "writev",
    "pwritev",
    "pwritev2",
    "sendfile",
    "splice",
    "tee",
    "vmsplice",
    "copy_file_range",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "aio",
    "io_uring",
    "mmap",
    "mprotect",
];

/// Bytes to a record.
///
/// # Errors
/// They are no such record.
pub fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<UsageRecord>(bytes, &[Kind::Usage])?;
    let path = texts.take(raw.path)?;
    texts.end()?;
    let whole = text::file_path(path, &raw.file);
    let mapped = Mapped { from: raw.low, to: raw.high, protection: raw.protection };
    let direction = match raw.direction {
        0 => Direction::Read,
        1 => Direction::Written,
        2 => Direction::Mapped(mapped),
        unknown => return Err(WireError::Direction(unknown)),
    };
    let via = (0..).zip(WAYS).filter(|(bit, _)| raw.via & 1 << bit != 0).map(|(_, way)| way);
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Usage(Box::new(Usage {
            path: whole.text(),
            path_incomplete: whole.incomplete,
            file: raw.file.file(),
            flags: raw.flags.into(),
            direction,
            bytes: raw.bytes,
            calls: raw.calls,
            via: via.collect(),
            first: BootNs(raw.first_ns),
            last: BootNs(raw.last_ns),
        })),
    })
}
