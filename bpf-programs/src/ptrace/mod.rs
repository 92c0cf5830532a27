//! Tracer `ptrace`: a process is traced, or its memory read or written; failed calls too.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** The header and the arguments; of a file its path.

use crate::act;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{PROCESS_VM_READV, PROCESS_VM_WRITEV, PTRACE, Stage};
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "ptrace",
    kind: Kind::Ptrace,
    programs: &[Program {
        name: "ptrace_exit",
        hook: Hook::SyscallExits(Stage::Events, &[PTRACE, PROCESS_VM_READV, PROCESS_VM_WRITEV]),
        without: None,
    }],
    decode: act::decode,
};
