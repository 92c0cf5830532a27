//! Tracer `setuid`: a process takes other ids or capabilities; failed calls too.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** The header and the arguments; of a file its path.

use crate::act;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{
    CAPSET, SETFSGID, SETFSUID, SETGID, SETGROUPS, SETREGID, SETRESGID, SETRESUID, SETREUID, SETUID, Stage,
};
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
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
