//! Tracer `mkdir`: new folders, special files and FIFOs, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying the path, and walking to the folder of a relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{MKDIR, MKDIRAT, MKNOD, MKNODAT, Stage};
use crate::tracers::fs;
use crate::tracers::uring;
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
    ],
    decode: fs::decode,
};
