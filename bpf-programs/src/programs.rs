//! The types that describe a kernel tracer: the tracer, its eBPF programs and their hooks.

use aya::Btf;
use aya_obj::btf::BtfKind;
use model::Record;

use crate::syscalls::{self, Stage, Syscall};
use crate::wire::{Kind, WireError};

/// The kind of hook a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    /// The ends of these system calls, through the table of `crate::syscalls`.
    SyscallExits(Stage, &'static [Syscall]),
    /// The BTF tracepoint of this name.
    BtfTracepoint(&'static str),
    /// The BTF tracepoint of this name, if the kernel has it; what older kernels lack is in [`crate::unseen`].
    NewBtfTracepoint(&'static str),
    /// The first of these BTF tracepoints that the kernel has: successive names of one tracepoint, newest first.
    FirstBtfTracepoint(&'static [&'static str]),
    /// A function of the kernel; only with tier `function`.
    Function(&'static Function),
    /// An iterator over tasks, which is not attached but read to its end.
    TaskIterator,
}

/// A function of the kernel, and the constants of the object that say where its arguments and its result are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Function {
    /// Successive names of the function, newest first.
    pub names: &'static [&'static str],
    /// True if the program runs when the function returns, else when it is called.
    pub at_exit: bool,
    /// Pairs of a constant and the name of the parameter whose position it is set to. One that begins with `?` may be
    /// missing; its position is then [`Function::NONE`].
    pub parameters: &'static [(&'static str, &'static str)],
    /// The constant that is set to the position of the result, which is behind the parameters.
    pub result: Option<&'static str>,
}

impl Function {
    /// The position of a parameter that the function lacks.
    pub(crate) const NONE: u8 = 255;
}

/// Defines a program at a function of the kernel:
/// `at_function!("name", exit of ["function"], (constant = parameter, …) -> result)`.
macro_rules! at_function {
    (@exit entry) => { false };
    (@exit exit) => { true };
    (@result) => { None };
    (@result $result:literal) => { Some($result) };
    ($name:literal, $at:ident of [$($function:literal),+], ($($constant:literal = $parameter:literal),*) $(-> $result:literal)?) => {
        Program {
            name: $name,
            hook: Hook::Function(&Function {
                names: &[$($function),+],
                at_exit: at_function!(@exit $at),
                parameters: &[$(($constant, $parameter)),*],
                result: at_function!(@result $($result)?),
            }),
            without: None,
        }
    };
}
pub(crate) use at_function;

impl Hook {
    /// Returns the hook's names as the kernel names them.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::SyscallExits(_, calls) => syscalls::hook_names(calls),
            Self::BtfTracepoint(name) | Self::NewBtfTracepoint(name) => vec![(*name).to_owned()],
            Self::FirstBtfTracepoint(names) => {
                names.first().map(|name| (*name).to_owned()).into_iter().collect()
            }
            Self::Function(function) => {
                let at = if function.at_exit { "fexit" } else { "fentry" };
                function.names.first().map(|name| format!("{at} {name}")).into_iter().collect()
            }
            Self::TaskIterator => vec!["iter/task".to_owned()],
        }
    }

    /// Returns the BTF tracepoint used on a kernel with these types, if the hook is one.
    pub(crate) fn btf_tracepoint(&self, kernel: &Btf) -> Option<&'static str> {
        let has = |name: &&&str| {
            kernel.id_by_type_name_kind(&format!("btf_trace_{name}"), BtfKind::Typedef).is_ok()
        };
        match self {
            Self::SyscallExits(..) => Some(syscalls::HOOK),
            Self::BtfTracepoint(name) => Some(name),
            Self::NewBtfTracepoint(name) => Some(name).filter(has).copied(),
            Self::FirstBtfTracepoint(names) => names.iter().find(has).or(names.first()).copied(),
            Self::Function(_) | Self::TaskIterator => None,
        }
    }
}

/// A program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Program {
    /// Name of the program in the object.
    pub name: &'static str,
    pub hook: Hook,
    /// Description of the events that are missing without the program; `None` if its tracer needs it.
    pub without: Option<&'static str>,
}

impl Program {
    /// Returns the calls at whose ends the program runs, if nothing else records them.
    pub(crate) fn calls(&self) -> &'static [Syscall] {
        match self.hook {
            Hook::SyscallExits(_, calls) => calls,
            _ => &[],
        }
    }
}

/// Programs at functions of the kernel that record calls of one tracer, with tier `function`.
#[derive(Debug)]
pub(crate) struct ByFunction {
    pub kind: Kind,
    /// The calls that they record.
    pub calls: &'static [Syscall],
    pub programs: &'static [Program],
}

/// A kernel tracer: name, programs and decoder.
#[derive(Clone, Copy, Debug)]
pub struct Tracer {
    /// Name of the tracer and of its config section.
    pub name: &'static str,
    /// Kind of its records; also the index of its counters and of its bit in map `settings`.
    pub kind: Kind,
    /// Programs to attach.
    pub(crate) programs: &'static [Program],
    /// Decodes the bytes of a record.
    pub decode: fn(&[u8]) -> Result<Record, WireError>,
}

impl PartialEq for Tracer {
    /// Returns whether both are the same tracer of the catalog.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Tracer {
    /// Returns the names of the tracer's hooks as the kernel names them.
    pub fn hook_names(&self) -> Vec<String> {
        self.programs.iter().flat_map(|program| program.hook.names()).collect()
    }
}
