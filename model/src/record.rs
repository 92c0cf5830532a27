//! What a tracer emits.

use crate::{BootNs, Details, ExecId, Text, WallTime};

/// One happening, as a tracer saw it: when, by whom, what. duetector's `data_t`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened.
    pub at: Moment,
    /// Who did it, as the kernel knew at that moment. Absent for tracers that are no kernel tracers: their
    /// pid, uid and the like, if any, are among the details' fields.
    pub identity: Option<Identity>,
    /// What happened.
    pub details: Details,
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Kernel time.
    Boot(BootNs),
    /// Wall time, for records that bring their own.
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
    /// When the process (its group leader) started, nanoseconds since boot.
    pub start_ns: u64,
    /// Effective user id, in the initial user namespace.
    pub uid: u32,
    /// Effective group id, in the initial user namespace.
    pub gid: u32,
    /// The thread's command name (at most 15 bytes).
    pub comm: Text,
    /// The cgroup: of the v1 hierarchies of memory, pids, devices, cpu the first where it is not the root; else v2's.
    pub cgroup: CgroupId,
    /// Process id in its own pid namespace.
    pub ns_pid: u32,
    /// Inode number of the pid namespace.
    pub pid_ns: u32,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// It was asked for through io_uring; a thread of the kernel may have done it.
    pub uring: bool,
    /// By a call of a 32-bit program; of one that has just been executed: it is a 32-bit program.
    pub compat: bool,
}

/// A cgroup, while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CgroupId {
    /// Number of its hierarchy, as in `/proc/PID/cgroup`; 0 is v2.
    pub hierarchy: u32,
    /// `kernfs_node.id`, unique in the hierarchy.
    pub id: u64,
}

impl Identity {
    /// The process instance.
    pub fn exec_id(&self) -> ExecId {
        ExecId { pid: self.pid, start_ns: self.start_ns }
    }
}
