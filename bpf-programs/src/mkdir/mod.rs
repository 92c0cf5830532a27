//! Tracer `mkdir`: folders, special files and fifos; failed calls too.
//!
//! **Hook.** the ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Two copied paths and the walk to the folder of each that is relative.

use crate::fs;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{MKDIR, MKDIRAT, MKNOD, MKNODAT, Stage};
use crate::uring;
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
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
    ],
    decode: fs::decode,
};
