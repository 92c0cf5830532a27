//! Records, as tracers emit them.

use crate::{BootNs, Details, ExecId, Text, WallTime};

/// An event as a tracer saw it: time, process and details. Corresponds to duetector's `data_t`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When the event happened.
    pub at: Moment,
    /// The process, as the kernel knew it at that moment. Absent for records that do not come from the kernel; their
    /// pid, uid and the like, if any, are among the fields of `details`.
    pub identity: Option<Identity>,
    /// Data of the event, by kind.
    pub details: Details,
}

/// The time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Kernel time, for kernel records.
    Boot(BootNs),
    /// Wall time, for records that carry their own timestamp.
    Wall(WallTime),
}

/// The process behind a record, read in the kernel at the moment of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Process id (`tgid`) in the initial pid namespace.
    pub pid: u32,
    /// Thread id (the kernel's `pid`) in the initial pid namespace.
    pub tid: u32,
    /// Process id of the real parent.
    pub ppid: u32,
    /// Start time of the process (its group leader), nanoseconds since boot.
    pub start_ns: u64,
    /// Effective user id, in the initial user namespace.
    pub uid: u32,
    /// Effective group id, in the initial user namespace.
    pub gid: u32,
    /// The thread's command name (at most 15 bytes).
    pub comm: Text,
    /// The process's cgroup: in the first of the v1 hierarchies memory, pids, devices, cpu in which it is not the root,
    /// else in v2.
    pub cgroup: CgroupId,
    /// Process id in its own pid namespace.
    pub ns_pid: u32,
    /// Inode number of the pid namespace.
    pub pid_ns: u32,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// Inode number of the network namespace; a process that is ending may have left it.
    pub net_ns: Option<u32>,
    /// User who logged in, in the initial user namespace. `sudo`, `su` and setuid programs leave it.
    pub loginuid: Option<u32>,
    /// Number of the login's session.
    pub sessionid: Option<u32>,
    /// Real user id, in the initial user namespace.
    pub ruid: u32,
    /// User id for access to files, in the initial user namespace.
    pub fsuid: u32,
    /// True if the operation was submitted through io_uring; a kernel thread may have performed it.
    pub uring: bool,
    /// True if a 32-bit system call caused the event; for an exec, if the new program is a 32-bit one.
    pub compat: bool,
    /// True if a text was read from the caller's memory, or a file taken from a descriptor, when another thread could have
    /// changed it.
    pub unverified: bool,
    /// True if the operation has ended, but its result is not known; for a usage, if the bytes of one of its calls are missing.
    pub result_unknown: bool,
}

/// Identifies a cgroup while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CgroupId {
    /// Number of its hierarchy, as in `/proc/PID/cgroup`; 0 is v2.
    pub hierarchy: u32,
    /// `kernfs_node.id`, unique in the hierarchy.
    pub id: u64,
}

impl Identity {
    /// Returns the identity of the process instance.
    pub fn exec_id(&self) -> ExecId {
        ExecId { pid: self.pid, start_ns: self.start_ns }
    }
}
