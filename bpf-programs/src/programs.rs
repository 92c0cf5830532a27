//! Every tracer of this crate and the programs that make it; the one place where a tracer is registered.

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

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// The ends of these system calls, by way of [`crate::syscalls`].
    SyscallExits(Stage, &'static [Syscall]),
    /// The same program at each of these tracepoints of `category`. Those in `required` must exist, those in
    /// `optional` only on some machines.
    Tracepoints {
        /// Folder below `events` in tracefs.
        category: &'static str,
        /// Must exist.
        required: &'static [&'static str],
        /// May be missing.
        optional: &'static [&'static str],
    },
    /// A BTF tracepoint.
    BtfTracepoint(&'static str),
    /// The first of these that the kernel has: names that one was given over time, the newest first.
    FirstBtfTracepoint(&'static [&'static str]),
    /// An iterator over tasks: not attached, but read once to its end.
    TaskIterator,
}

impl Hook {
    /// The BTF tracepoint that it is on a kernel of these types, if it is one.
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

/// One program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it is attached.
    pub hook: Hook,
    /// What is missing without it, in words; `None` if its tracer can't do without it.
    pub without: Option<&'static str>,
}

/// A kernel tracer.
#[derive(Clone, Copy, Debug)]
pub struct Tracer {
    /// Its name, also of its config section.
    pub name: &'static str,
    /// What its records are; the index of its counters and of its bit in [`crate::wire::Settings::enabled`].
    pub kind: Kind,
    /// What it needs.
    pub programs: &'static [Program],
    /// Bytes to a record.
    pub decode: fn(&[u8]) -> Result<Record, WireError>,
}

/// The object with all programs, for hooks of tier tracepoint; empty in a build with `DUETECTOR_SKIP_BPF=1`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracepoint.bpf.o"));
static TRAMPOLINES: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trampoline.bpf.o"));
static RAW: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/kprobe.bpf.o"));

/// The same programs, for hooks of that tier.
pub fn object(tier: Tier) -> &'static [u8] {
    match tier {
        Tier::Trampoline => TRAMPOLINES,
        Tier::Tracepoint => OBJECT,
        Tier::Kprobe => RAW,
    }
}

/// All kernel tracers.
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

/// Programs that only keep the process table. `exec`, `clone` and `exit` keep it too, so that their programs
/// are attached even if their tracers are disabled.
pub const LIFECYCLE: &[Program] = crate::lifecycle::PROGRAMS;

/// The iterator that reads the processes that are there already; its output is [`crate::wire::split`] into
/// records of kind [`Kind::Process`].
pub const PROCESSES: Program = crate::lifecycle::PROCESSES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_used_once() {
        let mut names: Vec<_> = tracers().map(|tracer| tracer.name).collect();
        let mut kinds: Vec<_> = tracers().map(|tracer| tracer.kind as u32).collect();
        names.sort_unstable();
        names.dedup();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!((names.len(), kinds.len()), (tracers().count(), tracers().count()));
    }
}
