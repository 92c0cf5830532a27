//! Tracer `bpf`: calls of bpf(), which make, read or attach eBPF programs and maps, failed ones included. The
//! agent's own calls are not recorded.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header and the arguments; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{BPF, Stage};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "bpf",
    kind: Kind::Bpf,
    programs: &[Program { name: "bpf_exit", hook: Hook::SyscallExits(Stage::Events, &[BPF]), without: None }],
    decode: act::decode,
};
