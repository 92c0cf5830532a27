//! Tracer `attr`: mode, owner, times and extended attributes; failed calls too.
//!
//! **Hook.** the ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Two copied paths and the walk to the folder of each that is relative.

use crate::fs;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{
    CHMOD, CHOWN, FCHMOD, FCHMODAT, FCHMODAT2, FCHOWN, FCHOWNAT, FREMOVEXATTR, FSETXATTR, FUTIMESAT, LCHOWN,
    LREMOVEXATTR, LSETXATTR, REMOVEXATTR, REMOVEXATTRAT, SETXATTR, SETXATTRAT, Stage, UTIME, UTIMENSAT,
    UTIMES,
};
use crate::uring;
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
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
