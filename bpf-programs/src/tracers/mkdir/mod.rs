//! Tracer `mkdir`: new folders, special files and FIFOs, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. With tier `function` the functions that do the work: they have
//! the paths as the kernel resolved them, and the files.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying the path, and walking to the folder of a relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{MKDIR, MKDIRAT, MKNOD, MKNODAT, Stage};
use crate::tracers::fs;
use crate::tracers::{uring, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "mkdir",
    kind: Kind::Mkdir,
    programs: &[
        Program {
            name: "mkdir_exit",
            hook: Hook::SyscallExits(Stage::Events, &[MKDIRAT, MKNODAT, MKDIR, MKNOD]),
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
    kind: Kind::Mkdir,
    calls: &[MKDIRAT, MKNODAT, MKDIR, MKNOD],
    programs: &[
        fs::PATH_RESOLVED,
        at_function!("mkdir_begins", entry of ["do_mkdirat"], ("mkdirat_name" = "name", "mkdirat_dfd" = "dfd", "mkdirat_mode" = "mode")),
        at_function!("mkdir_made", exit of ["vfs_mkdir"], ("mkdir_dentry" = "dentry") -> "mkdir_result"),
        at_function!("mkdir_ends", exit of ["do_mkdirat"], () -> "mkdirat_result"),
        at_function!("mknod_begins", entry of ["do_mknodat"], ("mknodat_name" = "name")),
        at_function!("mknod_made", exit of ["vfs_mknod"], ("mknod_dentry" = "dentry") -> "mknod_result"),
        at_function!("create_made", exit of ["vfs_create"], ("create_dentry" = "dentry") -> "create_result"),
        at_function!("mknod_ends", exit of ["do_mknodat"], () -> "mknodat_result"),
    ],
};
