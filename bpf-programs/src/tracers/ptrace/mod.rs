//! Tracer `ptrace`: calls that trace a process, read or write its memory, give advice about it, or take one of its
//! descriptors; failed ones included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header and the arguments; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{PIDFD_GETFD, PROCESS_MADVISE, PROCESS_VM_READV, PROCESS_VM_WRITEV, PTRACE, Stage};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "ptrace",
    kind: Kind::Ptrace,
    programs: &[Program {
        name: "ptrace_exit",
        hook: Hook::SyscallExits(
            Stage::Events,
            &[PTRACE, PROCESS_VM_READV, PROCESS_VM_WRITEV, PIDFD_GETFD, PROCESS_MADVISE],
        ),
        without: None,
    }],
    decode: act::decode,
};
