//! The types that describe a kernel tracer: the tracer, its eBPF programs and their hooks.

use aya::Btf;
use aya_obj::btf::BtfKind;
use model::Record;

use crate::syscalls::{self, Stage, Syscall};
use crate::wire::{Kind, WireError};

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

impl PartialEq for Tracer {
    /// Returns whether both are the same tracer of the catalog.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}
