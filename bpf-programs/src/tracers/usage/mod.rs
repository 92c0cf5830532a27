//! Tracer `usage`: bytes and calls by which a process read, wrote or mapped a file since the previous row, with the calls
//! used and the times of the first and the last.
//!
//! The sums are kept in the kernel and flushed at intervals, see [`crate::ledger`]; added over all rows they are exact,
//! however fast calls come. A failed call is not counted; a call that returned 0 bytes is. A mapping counts the bytes mapped,
//! not those accessed. A descriptor that was inherited, duplicated or passed to another process counts for the process that
//! uses it.
//!
//! **Hook.** The ends of the calls ([`crate::syscalls`]); BTF tracepoints `sched_process_exec`, `sched_process_exit`. Where
//! threads share descriptors, transfers of sockets at the BTF tracepoints `sock_recv_length`, `sock_send_length`, and with tier
//! `function` those of other files at `vfs_read` and its variants: another thread may replace a descriptor while the call waits.
//! **Kernel.** 5.15: `bpf_for_each_map_elem` (5.13), `bpf_task_pt_regs`.
//! **Cost.** For each call one update of a ledger entry; see `docs/BENCHMARKS.md`.

use model::details::{Direction, Mapped, Usage};
use model::{BootNs, Details, Moment, Record};

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{
    CLOSE, COPY_FILE_RANGE, IO_GETEVENTS, IO_PGETEVENTS, IOCTL, MMAP, PREAD64, PREADV, PREADV2, PWRITE64,
    PWRITEV, PWRITEV2, READ, READV, RECVFROM, RECVMMSG, RECVMSG, SENDFILE, SENDMMSG, SENDMSG, SENDTO, SPLICE,
    Stage, Syscall, TEE, VMSPLICE, WRITE, WRITEV,
};
use crate::text;
use crate::tracers::{sock, uring, uring_unposted};
use crate::wire::{Family, Kind, UsageRecord, WireError, view};

/// The catalogue entry of the tracer.
pub(crate) const TRACER: Tracer = Tracer {
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
        ledger("usage_ioctl", &[IOCTL], Some("bytes shared by FICLONE and FIDEDUPERANGE")),
        ledger("usage_messages", &[SENDMMSG, RECVMMSG], Some("bytes of sendmmsg and recvmmsg")),
        ledger("usage_aio", &[IO_GETEVENTS, IO_PGETEVENTS], Some("bytes of libaio")),
        ledger("usage_close", &[CLOSE], Some("rows at close: they come at the next interval")),
        Program {
            name: "usage_received",
            hook: Hook::NewBtfTracepoint("sock_recv_length"),
            without: Some("the socket of each transfer for certain"),
        },
        Program {
            name: "usage_sent",
            hook: Hook::NewBtfTracepoint("sock_send_length"),
            without: Some("the socket of each transfer for certain"),
        },
        Program {
            name: "usage_exit",
            hook: Hook::BtfTracepoint("sched_process_exit"),
            without: Some("rows at exit: they come at the next interval"),
        },
        Program {
            name: "usage_exec",
            hook: Hook::BtfTracepoint("sched_process_exec"),
            without: Some("rows at exec: they come at the next interval"),
        },
        uring::SUBMIT,
        uring::COMPLETE,
        uring_unposted::ENTERED,
        uring_unposted::WORKED,
        uring_unposted::OVERFLOW,
        uring_unposted::ENDED,
    ],
    decode,
};

/// The programs at functions that let two files share blocks; overlayfs calls them again for the files below.
pub(crate) const BY_FUNCTION: ByFunction = ByFunction {
    kind: Kind::Usage,
    calls: &[IOCTL],
    programs: &[
        at_function!(
            "usage_cloned",
            exit of ["vfs_clone_file_range"],
            ("cloned_in" = "file_in", "cloned_out" = "file_out") -> "cloned_result"
        ),
        at_function!(
            "usage_deduped",
            exit of ["vfs_dedupe_file_range_one"],
            ("deduped_in" = "src_file", "deduped_out" = "dst_file") -> "deduped_result"
        ),
    ],
};

/// The programs at functions that have the file of a transfer. Calls that no function counts are counted when they end.
pub(crate) const TRANSFERS: ByFunction = ByFunction {
    kind: Kind::Usage,
    calls: &[],
    programs: &[
        at_function!("usage_vfs_read", exit of ["vfs_read"], ("usage_vfs_read_file" = "file") -> "usage_vfs_read_ret"),
        at_function!(
            "usage_vfs_write",
            exit of ["vfs_write"],
            ("usage_vfs_write_file" = "file") -> "usage_vfs_write_ret"
        ),
        at_function!(
            "usage_vfs_readv",
            exit of ["vfs_readv"],
            ("usage_vfs_readv_file" = "file") -> "usage_vfs_readv_ret"
        ),
        at_function!(
            "usage_vfs_writev",
            exit of ["vfs_writev"],
            ("usage_vfs_writev_file" = "file") -> "usage_vfs_writev_ret"
        ),
    ],
};

const fn ledger(name: &'static str, calls: &'static [Syscall], without: Option<&'static str>) -> Program {
    Program { name, hook: Hook::SyscallExits(Stage::Ledger, calls), without }
}

/// Names of the bits of `via`, from the lowest.
pub(crate) const WAYS: [&str; 27] = [
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
    "clone_range",
    "dedupe_range",
];

/// Decodes the bytes of a record.
///
/// # Errors
/// Fails if the bytes are not a valid record of this kind.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<UsageRecord>(bytes, Family::Usage)?;
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
            of_system: raw.file.is_of_system(),
            file: raw.file.file(),
            socket: (raw.socket.ino != 0).then(|| sock::ids(&raw.socket)),
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
