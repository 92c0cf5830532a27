//! Tracer `unlink`: removed names of files and removed folders, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. With tier `function` the functions that do the work: they have
//! the paths as the kernel resolved them, and the files.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying the path, and walking to the folder of a relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{RMDIR, Stage, UNLINK, UNLINKAT};
use crate::tracers::fs;
use crate::tracers::{uring, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "unlink",
    kind: Kind::Unlink,
    programs: &[
        Program {
            name: "unlink_exit",
            hook: Hook::SyscallExits(Stage::Events, &[UNLINKAT, UNLINK, RMDIR]),
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
    kind: Kind::Unlink,
    calls: &[UNLINKAT, UNLINK, RMDIR],
    programs: &[
        fs::PATH_RESOLVED,
        at_function!("unlink_begins", entry of ["do_unlinkat"], ("unlinkat_name" = "name", "unlinkat_dfd" = "dfd")),
        at_function!("unlink_file", entry of ["vfs_unlink"], ("unlink_dentry" = "dentry")),
        at_function!("unlink_ends", exit of ["do_unlinkat"], () -> "unlinkat_result"),
        at_function!("rmdir_begins", entry of ["do_rmdir"], ("rmdir_name" = "name", "rmdir_dfd" = "dfd")),
        at_function!("rmdir_folder", entry of ["vfs_rmdir"], ("rmdir_dentry" = "dentry")),
        at_function!("rmdir_ends", exit of ["do_rmdir"], () -> "rmdir_result"),
    ],
};
