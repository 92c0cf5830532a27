//! Tracer `truncate`: changes of a file's length or allocated space, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. With tier `function` also functions that have the file.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying the path, and walking to the file or to the folder of a relative one; see
//! `docs/BENCHMARKS.md`.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{FALLOCATE, FTRUNCATE, IOCTL, Stage, TRUNCATE};
use crate::tracers::fs;
use crate::tracers::{uring, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "truncate",
    kind: Kind::Truncate,
    programs: &[
        Program {
            name: "truncate_exit",
            hook: Hook::SyscallExits(Stage::Events, &[TRUNCATE, FTRUNCATE, FALLOCATE]),
            without: None,
        },
        Program {
            name: "truncate_ioctl",
            hook: Hook::SyscallExits(Stage::Events, &[IOCTL]),
            without: Some("ioctl, where it does the same as fallocate"),
        },
        uring::SUBMIT,
        uring::COMPLETE,
        uring_unposted::ENTERED,
        uring_unposted::WORKED,
        uring_unposted::OVERFLOW,
        uring_unposted::ENDED,
    ],
    decode: fs::decode,
};

/// The programs at functions that have the file; the ends of the calls add the result.
pub(crate) const BY_FUNCTION: ByFunction = ByFunction {
    kind: Kind::Truncate,
    calls: &[],
    programs: &[
        at_function!("truncate_found", entry of ["vfs_truncate"], ("truncate_path" = "path")),
        at_function!("fallocate_found", entry of ["vfs_fallocate"], ("allocated_file" = "file")),
        at_function!(
            "ftruncate_found",
            entry of ["security_file_truncate", "security_path_truncate"],
            ("ftruncated_file" = "?file", "ftruncated_path" = "?path")
        ),
    ],
};
