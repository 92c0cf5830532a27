//! Tracer `bpf`: a program or map of eBPF is made, looked at or attached; failed calls too. The agent's own are not told.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** The header and the arguments; of a file its path.

use crate::act;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{BPF, Stage};
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "bpf",
    kind: Kind::Bpf,
    programs: &[Program { name: "bpf_exit", hook: Hook::SyscallExits(Stage::Events, &[BPF]), without: None }],
    decode: act::decode,
};
