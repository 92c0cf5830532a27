//! Tracer `module`: a kernel module is loaded or removed; failed calls too.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** The header and the arguments; of a file its path.

use crate::act;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{DELETE_MODULE, FINIT_MODULE, INIT_MODULE, Stage};
use crate::wire::Kind;

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "module",
    kind: Kind::Module,
    programs: &[Program {
        name: "module_exit",
        hook: Hook::SyscallExits(Stage::Events, &[INIT_MODULE, FINIT_MODULE, DELETE_MODULE]),
        without: None,
    }],
    decode: act::decode,
};
