//! Tracer `rename`: a file or folder gets another name; failed calls too.
//!
//! **Hook.** the ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Two copied paths and the walk to the folder of each that is relative.

use crate::fs;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{RENAME, RENAMEAT, RENAMEAT2, Stage};
use crate::uring;
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
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
    ],
    decode: fs::decode,
};
