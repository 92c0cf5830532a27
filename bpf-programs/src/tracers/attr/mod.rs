//! Tracer `attr`: changes of mode, owner, times and extended attributes, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. With tier `function` also functions that have the file.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying up to two paths, and walking to the folder of each relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{
    CHMOD, CHOWN, FCHMOD, FCHMODAT, FCHMODAT2, FCHOWN, FCHOWNAT, FREMOVEXATTR, FSETXATTR, FUTIMESAT, LCHOWN,
    LREMOVEXATTR, LSETXATTR, REMOVEXATTR, REMOVEXATTRAT, SETXATTR, SETXATTRAT, Stage, UTIME, UTIMENSAT,
    UTIMES,
};
use crate::tracers::fs;
use crate::tracers::{uring, uring_unposted};
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "attr",
    kind: Kind::Attr,
    programs: &[
        Program {
            name: "attr_exit",
            hook: Hook::SyscallExits(
                Stage::Events,
                &[
                    FCHMOD,
                    FCHMODAT,
                    FCHOWN,
                    FCHOWNAT,
                    UTIMENSAT,
                    SETXATTR,
                    LSETXATTR,
                    FSETXATTR,
                    REMOVEXATTR,
                    LREMOVEXATTR,
                    FREMOVEXATTR,
                    CHMOD,
                    FCHMODAT2,
                    CHOWN,
                    LCHOWN,
                    UTIME,
                    UTIMES,
                    FUTIMESAT,
                    SETXATTRAT,
                    REMOVEXATTRAT,
                ],
            ),
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

/// The programs at functions that have the file; the ends of the calls add the result.
pub(crate) const BY_FUNCTION: ByFunction = ByFunction {
    kind: Kind::Attr,
    calls: &[],
    programs: &[
        at_function!("chmod_found", entry of ["chmod_common"], ("chmod_path" = "path")),
        at_function!("chown_found", entry of ["chown_common"], ("chown_path" = "path")),
        at_function!("utimes_found", entry of ["vfs_utimes"], ("utimes_path" = "path")),
        at_function!("xattr_mount", entry of ["mnt_want_write"], ("xattr_mount_at" = "m")),
        at_function!("xattr_file", entry of ["mnt_want_write_file"], ("xattr_file_at" = "file")),
        at_function!(
            "xattr_set",
            entry of ["vfs_setxattr"],
            ("xattr_set_dentry" = "dentry", "xattr_set_name" = "name")
        ),
        at_function!(
            "xattr_removed",
            entry of ["vfs_removexattr"],
            ("xattr_removed_dentry" = "dentry", "xattr_removed_name" = "name")
        ),
        // Before 6.2 access lists were set as any other attribute.
        at_function!(
            "acl_set",
            entry of ["vfs_set_acl", "vfs_setxattr"],
            ("acl_set_dentry" = "dentry", "acl_set_name" = "?acl_name")
        ),
        at_function!(
            "acl_removed",
            entry of ["vfs_remove_acl", "vfs_removexattr"],
            ("acl_removed_dentry" = "dentry", "acl_removed_name" = "?acl_name")
        ),
    ],
};
