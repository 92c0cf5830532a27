//! Tracer `link`: new hard links and symlinks, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying up to two paths, and walking to the folder of each relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{LINK, LINKAT, SYMLINK, SYMLINKAT, Stage};
use crate::tracers::fs;
use crate::tracers::uring;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "link",
    kind: Kind::Link,
    programs: &[
        Program {
            name: "link_exit",
            hook: Hook::SyscallExits(Stage::Events, &[LINKAT, SYMLINKAT, LINK, SYMLINK]),
            without: None,
        },
        uring::SUBMIT,
        uring::COMPLETE,
    ],
    decode: fs::decode,
};
