//! Tracer `unlink`: a name of a file, or an empty folder, is taken away; failed calls too.
//!
//! **Hook.** the ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Two copied paths and the walk to the folder of each that is relative.

use crate::fs;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{RMDIR, Stage, UNLINK, UNLINKAT};
use crate::uring;
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
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
    ],
    decode: fs::decode,
};
