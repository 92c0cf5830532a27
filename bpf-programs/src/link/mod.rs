//! Tracer `link`: another name for a file, or a symlink; failed calls too.
//!
//! **Hook.** the ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Two copied paths and the walk to the folder of each that is relative.

use crate::fs;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{LINK, LINKAT, SYMLINK, SYMLINKAT, Stage};
use crate::uring;
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
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
