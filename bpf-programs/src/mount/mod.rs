//! Tracer `mount`: the tree of mounts changes; failed calls too.
//!
//! **Hook.** the ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Two copied paths and the walk to the folder of each that is relative.

use crate::fs;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{MOUNT, MOUNT_SETATTR, MOVE_MOUNT, OPEN_TREE, PIVOT_ROOT, Stage, UMOUNT2};
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "mount",
    kind: Kind::Mount,
    programs: &[Program {
        name: "mount_exit",
        hook: Hook::SyscallExits(
            Stage::Events,
            &[MOUNT, UMOUNT2, PIVOT_ROOT, MOVE_MOUNT, OPEN_TREE, MOUNT_SETATTR],
        ),
        without: None,
    }],
    decode: fs::decode,
};
