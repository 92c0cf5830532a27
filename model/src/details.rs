//! What happened: one variant for each kind of record. Adding a built-in tracer adds one here, with its row
//! projection in `extended.rs`; nothing in the collector changes.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::{Place, SinkName, Text, TracerName};

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
    /// A TCP connection was asked for.
    Connect(Connect),
    /// Records are missing.
    Loss(Box<Loss>),
    /// Named fields: shell, subprocess and template tracers.
    Fields(Map<String, Value>),
}

/// open, openat, openat2, creat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Absolute path as the kernel resolved it, seen from the process's root. Of a failed open: the asked
    /// path made absolute.
    pub path: Text,
    /// The path is not whole: it was too deep or too long, or a part could not be read.
    pub path_incomplete: bool,
    /// The path as asked.
    pub path_asked: Text,
    /// `O_*` bits as asked.
    pub flags: u64,
    /// Permission bits asked for with `O_CREAT` or `O_TMPFILE`, else 0.
    pub mode: u32,
    /// Returned descriptor, or negative errno.
    pub ret: i64,
    /// Device as `stat` tells it (`st_dev`, `makedev(major, minor)`); absent when the open failed.
    pub dev: Option<u64>,
    /// Inode number; absent when the open failed.
    pub ino: Option<u64>,
    /// `S_IFMT` bits of the inode; absent when the open failed.
    pub file_mode: Option<u16>,
}

/// execve, execveat that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The path as asked (`linux_binprm.filename`).
    pub path_asked: Text,
    /// The executable file, absolute.
    pub exe: Text,
    /// Arguments, with the program's name.
    pub argv: Vec<Text>,
    /// The arguments did not fit into 8 KiB; what is there is their beginning.
    pub argv_cut: bool,
    /// Working folder, absolute.
    pub cwd: Text,
    /// `exe` or `cwd` is not whole.
    pub path_incomplete: bool,
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

/// connect on TCP over IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Local address.
    pub saddr: IpAddr,
    /// Local port.
    pub sport: u16,
    /// Remote address.
    pub daddr: IpAddr,
    /// Remote port.
    pub dport: u16,
    /// 0, or negative errno as the attempt ended: a non-blocking one's final result, not its `EINPROGRESS`.
    pub ret: i64,
    /// The caller did not wait (`EINPROGRESS`).
    pub nonblocking: bool,
}

/// Records that existed and reached no sink, or not this one. The agent's own making: no tracer accounts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose records.
    pub tracer: TracerName,
    /// Where.
    pub place: Place,
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
