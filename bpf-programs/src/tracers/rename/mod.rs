//! Tracer `rename`: files and folders that get another name, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying two paths, and walking to the folder of each relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{RENAME, RENAMEAT, RENAMEAT2, Stage};
use crate::tracers::fs;
use crate::tracers::uring;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
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
