//! Names and identities as types of their own.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The tracer of rows that say what kernel tracers run with, and can't see.
pub const MANIFEST: &str = "manifest";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name as it is.
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }

            /// The name as text.
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
    /// The name a tracer's rows are stored under: `open`, or `do_sys_openat2` in duetector's words.
    TracerName
}
name! {
    /// The name of a sink: `sqlite`, `memory`, `jsonl`.
    SinkName
}

/// A sink of a run: of those that had its name one after the other, which.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId {
    /// Its name.
    pub name: SinkName,
    /// Grows with each that takes the name.
    pub generation: u32,
}

/// A process instance: process id and the boot-clock nanoseconds at which it started. Unlike a bare pid it
/// is not reused while the machine runs. Its text form is `PID-START`.
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
