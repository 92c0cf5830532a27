//! Tracer `module`: kernel modules that are loaded or removed, and kernels that are loaded for kexec; failed calls
//! included.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`].
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header and the arguments, and a file's path; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{DELETE_MODULE, FINIT_MODULE, INIT_MODULE, KEXEC_FILE_LOAD, KEXEC_LOAD, Stage};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "module",
    kind: Kind::Module,
    programs: &[Program {
        name: "module_exit",
        hook: Hook::SyscallExits(
            Stage::Events,
            &[INIT_MODULE, FINIT_MODULE, DELETE_MODULE, KEXEC_LOAD, KEXEC_FILE_LOAD],
        ),
        without: None,
    }],
    decode: act::decode,
};
