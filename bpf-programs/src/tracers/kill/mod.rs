//! Tracer `kill`: signals that processes send, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header and the arguments; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{KILL, PIDFD_SEND_SIGNAL, RT_SIGQUEUEINFO, RT_TGSIGQUEUEINFO, Stage, TGKILL, TKILL};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "kill",
    kind: Kind::Kill,
    programs: &[Program {
        name: "kill_exit",
        hook: Hook::SyscallExits(
            Stage::Events,
            &[KILL, TKILL, TGKILL, RT_SIGQUEUEINFO, RT_TGSIGQUEUEINFO, PIDFD_SEND_SIGNAL],
        ),
        without: None,
    }],
    decode: act::decode,
};
