//! The catalogue of kernel tracers and their eBPF programs. A tracer is registered here and nowhere else.

use aya::Btf;
use aya_obj::btf::BtfKind;
use model::Record;

use crate::syscalls::{self, Stage, Syscall};
use crate::tier::Tier;
use crate::wire::{Kind, WireError};
use crate::{
    accept, attr, bind, bpf, clone, close, connect, dns, exec, exit, kill, link, memfd, mkdir, module, mount,
    open, ptrace, rename, setuid, truncate, udp, unlink, usage,
};

/// The kind of hook a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// The ends of these system calls, through the table of [`crate::syscalls`].
    SyscallExits(Stage, &'static [Syscall]),
    /// Several tracepoints of `category`, with the same program.
    Tracepoints {
        /// Directory below `events` in tracefs.
        category: &'static str,
        /// Tracepoints that must exist.
        required: &'static [&'static str],
        /// Tracepoints that exist only on some machines.
        optional: &'static [&'static str],
    },
    /// The BTF tracepoint of this name.
    BtfTracepoint(&'static str),
    /// The first of these BTF tracepoints that the kernel has: successive names of one tracepoint, newest first.
    FirstBtfTracepoint(&'static [&'static str]),
    /// An iterator over tasks, which is not attached but read to its end.
    TaskIterator,
}

impl Hook {
    /// Returns the BTF tracepoint used on a kernel with these types, if the hook is one.
    pub fn btf_tracepoint(&self, kernel: &Btf) -> Option<&'static str> {
        let has = |name: &&&str| {
            kernel.id_by_type_name_kind(&format!("btf_trace_{name}"), BtfKind::Typedef).is_ok()
        };
        match self {
            Self::SyscallExits(..) => Some(syscalls::HOOK),
            Self::BtfTracepoint(name) => Some(name),
            Self::FirstBtfTracepoint(names) => names.iter().find(has).or(names.first()).copied(),
            Self::Tracepoints { .. } | Self::TaskIterator => None,
        }
    }
}

/// A program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// Name of the program in the object.
    pub name: &'static str,
    pub hook: Hook,
    /// Description of the events that are missing without the program; `None` if its tracer needs it.
    pub without: Option<&'static str>,
}

/// A kernel tracer: name, programs and decoder.
#[derive(Clone, Copy, Debug)]
pub struct Tracer {
    /// Name of the tracer and of its config section.
    pub name: &'static str,
    /// Kind of its records; also the index of its counters and of its bit in [`crate::wire::Settings::enabled`].
    pub kind: Kind,
    /// Programs to attach.
    pub programs: &'static [Program],
    /// Decodes the bytes of a record.
    pub decode: fn(&[u8]) -> Result<Record, WireError>,
}

/// The object with all programs, for hooks of tier tracepoint; empty in a build with `DUETECTOR_SKIP_BPF=1`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracepoint.bpf.o"));
static TRAMPOLINES: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trampoline.bpf.o"));
static RAW: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/kprobe.bpf.o"));

/// Returns the object with the programs for hooks of a tier.
pub fn object(tier: Tier) -> &'static [u8] {
    match tier {
        Tier::Trampoline => TRAMPOLINES,
        Tier::Tracepoint => OBJECT,
        Tier::Kprobe => RAW,
    }
}

/// Returns all kernel tracers.
pub fn tracers() -> impl Iterator<Item = &'static Tracer> {
    [
        &open::TRACER,
        &exec::TRACER,
        &clone::TRACER,
        &exit::TRACER,
        &connect::TRACER,
        &rename::TRACER,
        &unlink::TRACER,
        &link::TRACER,
        &truncate::TRACER,
        &attr::TRACER,
        &mkdir::TRACER,
        &mount::TRACER,
        &usage::TRACER,
        &ptrace::TRACER,
        &bpf::TRACER,
        &module::TRACER,
        &memfd::TRACER,
        &setuid::TRACER,
        &kill::TRACER,
        &accept::TRACER,
        &close::TRACER,
        &bind::TRACER,
        &udp::TRACER,
        &dns::TRACER,
    ]
    .into_iter()
}

/// Programs that only feed the process table. Those of `exec`, `clone` and `exit` feed it as well, so they are attached even
/// if their tracers are disabled.
pub const LIFECYCLE: &[Program] = crate::lifecycle::PROGRAMS;

/// The iterator that reads the existing processes; [`crate::wire::split`] splits its output into records of kind
/// [`Kind::Process`].
pub const PROCESSES: Program = crate::lifecycle::PROCESSES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_and_kind_is_used_once() {
        let mut names: Vec<_> = tracers().map(|tracer| tracer.name).collect();
        let mut kinds: Vec<_> = tracers().map(|tracer| tracer.kind as u32).collect();
        names.sort_unstable();
        names.dedup();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!((names.len(), kinds.len()), (tracers().count(), tracers().count()));
    }
}
