//! Tracer `rename`: files and folders that get another name, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. With tier `function` the functions that do the work: they have
//! the paths as the kernel resolved them, and the files.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying two paths, and walking to the folder of each relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{RENAME, RENAMEAT, RENAMEAT2, Stage};
use crate::tracers::fs;
use crate::tracers::{uring, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "rename",
    kind: Kind::Rename,
    programs: &[
        Program {
            name: "rename_exit",
            hook: Hook::SyscallExits(Stage::Events, &[RENAMEAT, RENAMEAT2, RENAME]),
            without: None,
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

/// The programs at functions: a call begins, its paths are looked up, its file is known, and it ends.
pub(crate) const BY_FUNCTION: ByFunction = ByFunction {
    kind: Kind::Rename,
    calls: &[RENAMEAT, RENAMEAT2, RENAME],
    programs: &[
        fs::PATH_RESOLVED,
        at_function!(
            "rename_begins",
            entry of ["do_renameat2"],
            (
                "renameat_from" = "from",
                "renameat_to" = "to",
                "renameat_olddfd" = "olddfd",
                "renameat_newdfd" = "newdfd",
                "renameat_flags" = "flags"
            )
        ),
        at_function!("rename_files", entry of ["vfs_rename"], ("rename_data" = "rd")),
        at_function!("rename_ends", exit of ["do_renameat2"], () -> "renameat_result"),
    ],
};
