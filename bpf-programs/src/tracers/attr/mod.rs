//! Tracer `attr`: changes of mode, owner, times and extended attributes, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. With tier `function` also functions that have the file,
//! except for extended attributes.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying up to two paths, and walking to the folder of each relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
use crate::syscalls::{
    CHMOD, CHOWN, FCHMOD, FCHMODAT, FCHMODAT2, FCHOWN, FCHOWNAT, FREMOVEXATTR, FSETXATTR, FUTIMESAT, LCHOWN,
    LREMOVEXATTR, LSETXATTR, REMOVEXATTR, REMOVEXATTRAT, SETXATTR, SETXATTRAT, Stage, UTIME, UTIMENSAT,
    UTIMES,
};
use crate::tracers::fs;
use crate::tracers::uring;
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
    ],
};
