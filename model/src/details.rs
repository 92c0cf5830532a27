//! Details of records: one variant for each kind of event. A built-in tracer with a new kind of event adds a variant
//! here and its columns and fields in `fields.rs`; nothing in the collector changes.

mod act;
mod fs;
mod socket;
mod texts;
mod usage;

use serde_json::{Map, Value};

pub use act::{Act, ActField};
pub use fs::{FlagSet, Fs, FsArg, OtherPath};
pub use socket::{Dns, DnsMessage, Ends, Socket, SocketIds, Traffic, Transfer};
pub use usage::{Direction, Mapped, Usage};

use crate::{File, Loss, Text};

/// A record's own fields, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Details {
    /// A file was opened, or the open failed.
    Open(Box<Open>),
    /// A program was executed.
    Exec(Box<Exec>),
    /// A process or thread was created.
    Clone(Clone),
    /// A process ended.
    Exit(Exit),
    /// A socket call was made, or a connection ended.
    Socket(Box<Socket>),
    /// A DNS datagram was sent or received.
    Dns(Box<Dns>),
    /// Names or attributes of files were changed, or the call failed.
    Fs(Box<Fs>),
    /// A process read, wrote or mapped a file.
    Usage(Box<Usage>),
    /// A call acted on processes, credentials or the kernel, or failed.
    Act(Box<Act>),
    /// Records were lost.
    Loss(Box<Loss>),
    /// Named fields, from shell, subprocess and template tracers.
    Fields(Map<String, Value>),
}

/// open, openat, openat2, creat, open_by_handle_at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Absolute path as the kernel resolved it, seen from the process's root. For a failed open, the requested path
    /// made absolute.
    pub path: Text,
    /// True if the path is incomplete: it was too deep or too long, or a part could not be read.
    pub path_incomplete: bool,
    /// True if the path is only the text that was requested, made absolute: symbolic links on the way are not resolved.
    pub path_unresolved: bool,
    /// The path as requested; empty if a handle was given.
    pub path_asked: Text,
    /// The handle given instead of a path.
    pub handle: Option<FileHandle>,
    /// `O_*` bits as requested.
    pub flags: u64,
    /// Permission bits requested with `O_CREAT` or `O_TMPFILE`, else 0.
    pub mode: u32,
    /// The process's umask, which is removed from the permission bits.
    pub umask: u32,
    /// The returned descriptor, or negative errno.
    pub ret: i64,
    /// True if the open only reads a file of the kernel or of the system's libraries, see [`crate::system_files`].
    pub of_system: bool,
    /// Identity of the file; absent if the open failed.
    pub file: Option<File>,
}

/// A file handle as name_to_handle_at returns and open_by_handle_at takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHandle {
    /// `handle_type`, which only the file system can interpret.
    pub kind: i32,
    /// The opaque handle, at most 128 bytes.
    pub bytes: Vec<u8>,
}

/// An execve or execveat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The path as requested; for a descriptor, the name that the kernel makes up (`linux_binprm.filename`:
    /// `/dev/fd/3`).
    pub path_asked: Text,
    /// Absolute path of the file that was to be executed, a program or a script. If it is not known, the requested path
    /// made absolute.
    pub path: Text,
    /// Arguments, including the program's name.
    pub argv: Vec<Text>,
    /// True if `argv` holds only the first arguments, because they did not fit into 8 KiB or, for a failed exec, could
    /// not be read.
    pub argv_cut: bool,
    /// Absolute path of the working folder.
    pub cwd: Text,
    /// True if `path`, `cwd` or the interpreter's path is incomplete.
    pub path_incomplete: bool,
    /// True if `path` is only the text that was requested, made absolute: symbolic links on the way are not resolved.
    pub path_unresolved: bool,
    /// Result: 0 or negative errno.
    pub ret: i64,
    /// `AT_*` bits of an execveat: those requested if it failed, else 0. For one that succeeded, present only if it was
    /// given a descriptor.
    pub execveat: Option<u32>,
    /// True if the file exists only in memory, made by memfd_create.
    pub memfd: bool,
    /// Identity of the file; for a failed exec, present only if the file was opened, or a descriptor given.
    pub file: Option<File>,
    /// The program that runs, if it is another file: the interpreter of a script, or the one that binfmt_misc has for it.
    pub interpreter: Option<Interpreter>,
}

/// The program that runs instead of the file that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Absolute path of the program.
    pub path: Text,
    /// Identity of the file.
    pub file: File,
}

/// A clone, clone3, fork or vfork, as recorded in the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clone {
    /// Process id of the child (equal to the parent's for a thread).
    pub child_pid: u32,
    /// Thread id of the child.
    pub child_tid: u32,
    /// When the child started, or the process that got a thread; nanoseconds since boot.
    pub child_start_ns: u64,
    /// `CLONE_*` bits, where the kernel reports them.
    pub flags: Option<u64>,
    /// True for a thread, false for a process.
    pub thread: bool,
}

/// The end of a process, when its last thread has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, 0 to 255.
    pub code: u32,
    /// Number of the signal that ended the process, 0 if none did.
    pub signal: u32,
    /// True if a core was dumped.
    pub core_dumped: bool,
    /// Nanoseconds from start to end.
    pub duration_ns: u64,
}
