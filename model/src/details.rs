//! What happened: one variant for each kind of record. Adding a built-in tracer adds one here, with its row
//! projection in `extended.rs`; nothing in the collector changes.

mod act;
mod fs;
mod socket;
mod usage;

use serde_json::{Map, Value};

pub use act::{Act, ActField};
pub use fs::{FlagSet, Fs, FsArg, OtherPath};
pub use socket::{Dns, DnsMessage, Ends, Socket, Traffic, Transfer};
pub use usage::{Direction, Mapped, Usage};

use crate::{File, LossPoint, SinkName, Text, TracerName};

/// A record's own fields, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Details {
    /// A file was opened, or should have been.
    Open(Box<Open>),
    /// A program was executed.
    Exec(Box<Exec>),
    /// A process or thread was made.
    Clone(Clone),
    /// A process ended.
    Exit(Exit),
    /// Something was done with a socket, or should have been.
    Socket(Box<Socket>),
    /// A datagram of the domain name system went or came.
    Dns(Box<Dns>),
    /// Names or attributes of files were changed, or should have been.
    Fs(Box<Fs>),
    /// What a process did with a file.
    Usage(Box<Usage>),
    /// A process, its credentials or the kernel were acted upon, or should have been.
    Act(Box<Act>),
    /// Records are missing.
    Loss(Box<Loss>),
    /// Named fields: shell, subprocess and template tracers.
    Fields(Map<String, Value>),
}

/// open, openat, openat2, creat, open_by_handle_at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Absolute path as the kernel resolved it, seen from the process's root. Of a failed open: the asked
    /// path made absolute.
    pub path: Text,
    /// The path is not whole: it was too deep or too long, or a part could not be read.
    pub path_incomplete: bool,
    /// The path as asked; empty where a handle was given.
    pub path_asked: Text,
    /// The handle that was given instead.
    pub handle: Option<FileHandle>,
    /// `O_*` bits as asked.
    pub flags: u64,
    /// Permission bits asked for with `O_CREAT` or `O_TMPFILE`, else 0.
    pub mode: u32,
    /// What the process takes off such bits (umask).
    pub umask: u32,
    /// Returned descriptor, or negative errno.
    pub ret: i64,
    /// Which file; absent when the open failed.
    pub file: Option<File>,
}

/// What name_to_handle_at says of a file, and open_by_handle_at takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHandle {
    /// Its file system's business, like what follows.
    pub kind: i32,
    /// At most 128.
    pub bytes: Vec<u8>,
}

/// execve, execveat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The path as asked; of a descriptor that was executed what the kernel makes of it (`linux_binprm.filename`: `/dev/fd/3`).
    pub path_asked: Text,
    /// The executable file, absolute. Of a failed one the asked path made absolute, or the descriptor's file.
    pub exe: Text,
    /// Arguments, with the program's name.
    pub argv: Vec<Text>,
    /// The arguments did not fit into 8 KiB, or (of a failed one) could not be read; what is there is their beginning.
    pub argv_cut: bool,
    /// Working folder, absolute.
    pub cwd: Text,
    /// `exe` or `cwd` is not whole.
    pub path_incomplete: bool,
    /// 0, or negative errno.
    pub ret: i64,
    /// It was an execveat, with these `AT_*` bits: of a failed one those asked for, else none; of one that succeeded this is
    /// known only where it was given a descriptor.
    pub execveat: Option<u32>,
    /// The file lies in memory only: memfd_create made it.
    pub memfd: bool,
    /// Which file; of a failed one only what was given as a descriptor.
    pub file: Option<File>,
}

/// clone, clone3, fork, vfork: told by the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clone {
    /// Process id of the child (equal to the parent's for a thread).
    pub child_pid: u32,
    /// Thread id of the child.
    pub child_tid: u32,
    /// When the child started, nanoseconds since boot.
    pub child_start_ns: u64,
    /// `CLONE_*` bits, where the kernel tells them.
    pub flags: Option<u64>,
    /// A thread rather than a process.
    pub thread: bool,
}

/// The last thread of a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, 0 to 255.
    pub code: u32,
    /// Number of the signal that ended it, 0 if none did.
    pub signal: u32,
    /// A core was dumped.
    pub core_dumped: bool,
    /// Nanoseconds from start to end.
    pub duration_ns: u64,
}

/// Records that existed and reached no sink, or not this one. The agent's own making: no tracer accounts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose records.
    pub tracer: TracerName,
    /// Where.
    pub point: LossPoint,
    /// In which sink, where it was a sink or its queue.
    pub sink: Option<SinkName>,
    /// Why, in words.
    pub cause: String,
    /// How many.
    pub count: u64,
    /// Not before (local wall time).
    pub from: crate::WallTime,
    /// Not after (local wall time).
    pub to: crate::WallTime,
}
