//! Tracer `unlink`: removed names of files and removed folders, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying the path, and walking to the folder of a relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{RMDIR, Stage, UNLINK, UNLINKAT};
use crate::tracers::fs;
use crate::tracers::uring;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
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
