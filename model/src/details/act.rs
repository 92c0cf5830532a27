//! Calls that act on processes, credentials and the kernel itself.

use crate::{File, FlagSet, Text};

/// ptrace, kill, setuid, bpf, init_module, memfd_create and their kin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The system call (`tgkill`).
    pub call: &'static str,
    /// The path of the file it is about.
    pub path: Option<Text>,
    /// The path is not whole: it was too deep or too long, or a part could not be read.
    pub path_incomplete: bool,
    /// What it was called with, and what came of it, by the names of the fields.
    pub fields: Vec<(&'static str, ActField)>,
    /// What the call returned, or negative errno.
    pub ret: i64,
    /// Which file it is about.
    pub file: Option<File>,
}

/// Something of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActField {
    /// A number.
    Uint(u64),
    /// One that may be negative.
    Int(i64),
    /// Bits that have names.
    Flags(u64, FlagSet),
    /// One of several things that have names.
    Name(&'static str),
    /// Text of the caller's.
    Text(Text),
}
