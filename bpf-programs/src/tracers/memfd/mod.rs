//! Tracer `memfd`: files made by memfd_create, which are in memory only; failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header, the arguments and the name; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{MEMFD_CREATE, Stage};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "memfd",
    kind: Kind::Memfd,
    programs: &[Program {
        name: "memfd_exit",
        hook: Hook::SyscallExits(Stage::Events, &[MEMFD_CREATE]),
        without: None,
    }],
    decode: act::decode,
};
