//! Tracer `link`: new hard links and symlinks, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. With tier `function` the functions that do the work: they have
//! the paths as the kernel resolved them, and the files.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying up to two paths, and walking to the folder of each relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{LINK, LINKAT, SYMLINK, SYMLINKAT, Stage};
use crate::tracers::fs;
use crate::tracers::{uring, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "link",
    kind: Kind::Link,
    programs: &[
        Program {
            name: "link_exit",
            hook: Hook::SyscallExits(Stage::Events, &[LINKAT, SYMLINKAT, LINK, SYMLINK]),
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
    kind: Kind::Link,
    calls: &[LINKAT, SYMLINKAT, LINK, SYMLINK],
    programs: &[
        fs::PATH_RESOLVED,
        at_function!("link_begins", entry of ["do_linkat"], (
            "linkat_old" = "old",
            "linkat_new" = "new",
            "linkat_olddfd" = "olddfd",
            "linkat_newdfd" = "newdfd",
            "linkat_flags" = "flags"
        )),
        at_function!(
            "link_file",
            entry of ["vfs_link"],
            ("link_old" = "old_dentry", "link_new" = "new_dentry")
        ),
        at_function!("link_ends", exit of ["do_linkat"], () -> "linkat_result"),
        at_function!(
            "symlink_begins",
            entry of ["do_symlinkat"],
            ("symlinkat_from" = "from", "symlinkat_to" = "to", "symlinkat_dfd" = "newdfd")
        ),
        at_function!("symlink_made", exit of ["vfs_symlink"], ("symlink_dentry" = "dentry") -> "symlink_result"),
        at_function!("symlink_ends", exit of ["do_symlinkat"], () -> "symlinkat_result"),
    ],
};
