//! Tracer `mount`: changes of mounts, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Copying up to two paths, and walking to the folder of each relative one; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{
    FSPICK, MOUNT, MOUNT_SETATTR, MOVE_MOUNT, OPEN_TREE, OPEN_TREE_ATTR, PIVOT_ROOT, Stage, UMOUNT2,
};
use crate::tracers::fs;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "mount",
    kind: Kind::Mount,
    programs: &[Program {
        name: "mount_exit",
        hook: Hook::SyscallExits(
            Stage::Events,
            &[MOUNT, UMOUNT2, PIVOT_ROOT, MOVE_MOUNT, OPEN_TREE, OPEN_TREE_ATTR, MOUNT_SETATTR, FSPICK],
        ),
        without: None,
    }],
    decode: fs::decode,
};
