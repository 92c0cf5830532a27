//! Tracer `setuid`: processes that change their ids or capabilities, failed calls included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header, the arguments and the credentials; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{
    CAPSET, SETFSGID, SETFSUID, SETGID, SETGROUPS, SETREGID, SETRESGID, SETRESUID, SETREUID, SETUID, Stage,
};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "setuid",
    kind: Kind::Setuid,
    programs: &[Program {
        name: "setuid_exit",
        hook: Hook::SyscallExits(
            Stage::Events,
            &[
                SETUID, SETGID, SETREUID, SETREGID, SETRESUID, SETRESGID, SETFSUID, SETFSGID, SETGROUPS,
                CAPSET,
            ],
        ),
        without: None,
    }],
    decode: act::decode,
};
