//! Tracer `memfd`: a file without a folder is made in memory; failed calls too.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** The header and the arguments; of a file its path.

use crate::act;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{MEMFD_CREATE, Stage};
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "memfd",
    kind: Kind::Memfd,
    programs: &[Program {
        name: "memfd_exit",
        hook: Hook::SyscallExits(Stage::Events, &[MEMFD_CREATE]),
        without: None,
    }],
    decode: act::decode,
};
