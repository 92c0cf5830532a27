//! Tracer `open`: calls of open, openat, openat2, creat and open_by_handle_at, failed ones included.
//!
//! **Hook.** The ends of the calls ([`crate::syscalls`]), one program for all. With tier `function` the functions that do
//! the work: they have the kernel's copy of the path, the file, and the descriptor before another thread can change any.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying a path, and walking to the file; over its budget, see `docs/BENCHMARKS.md`.

use model::{Details, FileHandle, Moment, Open, Record, Text};

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{CREAT, OPEN, OPEN_BY_HANDLE_AT, OPENAT, OPENAT2, Stage};
use crate::text;
use crate::tracers::{uring, uring_unposted};
use crate::wire::{
    Family, Kind, OpenRecord, RawText, TEXT_CUT, TEXT_HANDLE, TEXT_UNREADABLE, WireError, view,
};

pub(crate) const TRACER: Tracer = Tracer {
    name: "open",
    kind: Kind::Open,
    programs: &[
        Program {
            name: "open_exit",
            hook: Hook::SyscallExits(Stage::Events, &[OPENAT, OPENAT2, OPEN, CREAT, OPEN_BY_HANDLE_AT]),
            without: None,
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

/// The programs at functions: a call begins, its file is found, it gets a descriptor, and it ends.
pub(crate) const BY_FUNCTION: ByFunction = ByFunction {
    kind: Kind::Open,
    calls: &[OPENAT, OPENAT2, OPEN, CREAT],
    programs: &[
        at_function!(
            "open_begins",
            entry of ["do_sys_openat2"],
            ("openat2_filename" = "filename", "openat2_how" = "how")
        ),
        at_function!(
            "open_found",
            exit of ["do_filp_open"],
            ("opened_dfd" = "dfd", "opened_pathname" = "pathname") -> "opened_result"
        ),
        at_function!(
            "open_installed",
            entry of ["fd_install"],
            ("installed_fd" = "fd", "installed_file" = "file")
        ),
        at_function!("open_ends", exit of ["do_sys_openat2"], () -> "openat2_result"),
        Program {
            without: WITHOUT_REQUESTS,
            ..at_function!(
                "uring_open_begins",
                entry of ["io_openat2"],
                ("uring_open_request" = "req", "uring_open_flags" = "issue_flags")
            )
        },
        Program {
            without: WITHOUT_REQUESTS,
            ..at_function!("uring_open_installed", exit of ["io_fixed_fd_install"], () -> "uring_slot_result")
        },
        Program {
            without: WITHOUT_REQUESTS,
            ..at_function!("uring_open_ends", exit of ["io_openat2"], () -> "uring_open_result")
        },
    ],
};

/// Gap without the programs at the functions by which io_uring opens files. A kernel that lacks these functions
/// has other hooks for it.
const WITHOUT_REQUESTS: Option<&str> = Some("files that are opened through io_uring");

/// Decodes a record.
///
/// # Errors
/// The bytes are not such a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<OpenRecord>(bytes, Family::Open)?;
    let (asked, path) = (texts.take(raw.asked)?, texts.take(raw.path)?);
    texts.end()?;
    let file = raw.file;
    let has_file = file.known != 0;
    let by_handle = asked.is(TEXT_HANDLE);
    let name = if by_handle { &[] } else { asked.bytes };
    let whole = match (has_file, by_handle) {
        (true, _) => text::file_path(path, &file),
        (false, true) => text::join(path, name),
        (false, false) => text::asked(path, asked),
    };
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Open(Box::new(Open {
            path: whole.text(),
            path_incomplete: whole.incomplete
                || (!has_file && asked.is(TEXT_CUT | TEXT_UNREADABLE | TEXT_HANDLE)),
            path_unresolved: !has_file,
            path_asked: Text::from_bytes(name),
            handle: handle(asked),
            flags: raw.flags,
            mode: raw.mode.into(),
            umask: raw.umask.into(),
            ret: raw.ret.into(),
            of_system: file.is_of_system(),
            file: file.file(),
        })),
    })
}

/// Returns the handle passed to open_by_handle_at, if it could be read.
fn handle(asked: RawText<'_>) -> Option<FileHandle> {
    if !asked.is(TEXT_HANDLE) {
        return None;
    }
    let (_length, rest) = asked.bytes.split_first_chunk::<4>()?;
    let (kind, bytes) = rest.split_first_chunk()?;
    Some(FileHandle { kind: i32::from_ne_bytes(*kind), bytes: bytes.to_vec() })
}
