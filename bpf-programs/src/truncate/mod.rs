//! Tracer `truncate`: a file's length is set, or room made or given back; failed calls too.
//!
//! **Hook.** the ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Two copied paths and the walk to the folder of each that is relative.

use crate::fs;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{FALLOCATE, FTRUNCATE, Stage, TRUNCATE};
use crate::uring;
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "truncate",
    kind: Kind::Truncate,
    programs: &[
        Program {
            name: "truncate_exit",
            hook: Hook::SyscallExits(Stage::Events, &[TRUNCATE, FTRUNCATE, FALLOCATE]),
            without: None,
        },
        uring::SUBMIT,
        uring::COMPLETE,
    ],
    decode: fs::decode,
};
