//! System calls that act on processes, credentials or the kernel itself.

use crate::{ExecId, File, FlagSet, Text};

/// A ptrace, kill, setuid, bpf, init_module, memfd_create or similar call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Name of the system call (`tgkill`).
    pub call: &'static str,
    /// Path of the file that the call is about.
    pub path: Option<Text>,
    /// True if the path is incomplete: it was too deep or too long, or a part could not be read.
    pub path_incomplete: bool,
    /// Arguments and results of the call, with the names of their fields.
    pub fields: Vec<(&'static str, ActField)>,
    /// Return value of the call, or negative errno.
    pub ret: i64,
    /// Identity of the file that the call is about.
    pub file: Option<File>,
    /// Identity of the process that the call acts on, if the kernel side has found it.
    pub target: Option<ExecId>,
}

/// Value of an argument or a result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActField {
    /// An unsigned number.
    Uint(u64),
    /// A number that may be negative.
    Int(i64),
    /// Flag bits with names.
    Flags(u64, FlagSet),
    /// A value that is shown by its name.
    Name(&'static str),
    /// A text that the caller passed.
    Text(Text),
}
