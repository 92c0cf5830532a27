//! Tracer `namespace`: processes that get another root folder (chroot) or other namespaces (unshare, setns), failed calls
//! included. pivot_root is a call of tracer `mount`, and namespaces that clone() makes are in its rows.
//!
//! **Hook.** The ends of the calls, by [`crate::syscalls`]. The root and the namespaces are read from the task, so they are
//! those that the kernel set, whatever the caller's memory says by then.
//! **Kernel.** 5.15: `bpf_task_pt_regs`.
//! **Cost.** Reading the header and the namespaces, or walking the root's path; see `docs/BENCHMARKS.md`.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{CHROOT, SETNS, Stage, UNSHARE};
use crate::tracers::act;
use crate::wire::Kind;

pub(crate) const TRACER: Tracer = Tracer {
    name: "namespace",
    kind: Kind::Namespace,
    programs: &[Program {
        name: "namespace_exit",
        hook: Hook::SyscallExits(Stage::Events, &[CHROOT, UNSHARE, SETNS]),
        without: None,
    }],
    decode: act::decode,
};
