//! Names and identities, each with a type of its own.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Name of the tracer whose rows record how each kernel tracer is attached and what it can't see.
pub const MANIFEST: &str = "manifest";
/// Name of the tracer of rows about records that were lost.
pub const LOSS: &str = "loss";
/// Name of the tracer of rows about stored rows that were removed to make room.
pub const RETENTION: &str = "retention";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name without checking it.
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name! {
    /// The name a tracer's rows are stored under: `open`, or `do_sys_openat2` with duetector's names.
    TracerName
}
name! {
    /// The name of a sink: `sqlite`, `memory`, `jsonl`.
    SinkName
}

/// The part that a sink plays in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Keeps the accounts and the checkpoints with its rows. At most one sink of a run has this role.
    Store,
    /// Gets the same rows and keeps no accounts.
    Copy,
}

/// Identifies a sink of a run, even if several had the same name one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId {
    /// Name of the sink.
    pub name: SinkName,
    /// The part that the sink plays.
    pub role: Role,
    /// Number that grows with each new sink of a run.
    pub generation: u32,
}

/// Identifies a process instance by its process id and its start time on the boot clock. Unlike a bare pid it is not
/// reused while the machine runs. The text form is `PID-START`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecId {
    /// Process id (the kernel's `tgid`) in the initial pid namespace.
    pub pid: u32,
    /// `task_struct.group_leader->start_boottime`: nanoseconds since boot.
    pub start_ns: u64,
}

impl fmt::Display for ExecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.start_ns)
    }
}

impl Serialize for ExecId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
