//! The kinds of records, and the errors of decoding one.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// Kind of a record. The numbers are those of `include/wire.h`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl TryFrom<u32> for Kind {
            type Error = WireError;

            fn try_from(number: u32) -> Result<Self, WireError> {
                match number {
                    $($number => Ok(Self::$name),)*
                    _ => Err(WireError::Kind(number)),
                }
            }
        }
    };
}

kinds! {
    /// A file was opened, or opening failed.
    Open = 1,
    /// A program was executed.
    Exec = 2,
    /// A process or thread was created.
    Clone = 3,
    /// A process exited.
    Exit = 4,
    /// A socket was connected, or connecting failed.
    Connect = 5,
    /// A file was renamed.
    Rename = 6,
    /// A name was removed.
    Unlink = 7,
    /// A hard or symbolic link was created.
    Link = 8,
    /// A file's length was set.
    Truncate = 9,
    /// A file's mode, owner, times or attributes were set.
    Attr = 10,
    /// A directory or special file was created.
    Mkdir = 11,
    /// The mount tree was changed.
    Mount = 12,
    /// Bytes and calls of a process with a file since the previous record.
    Usage = 13,
    /// A connection was accepted.
    Accept = 14,
    /// A connection was closed.
    Close = 15,
    /// A socket was bound, or began to listen.
    Bind = 16,
    /// A flow of datagrams began, or ended.
    Udp = 17,
    /// A DNS query or answer was sent or received.
    Dns = 18,
    /// A process was traced, or its memory read or written.
    Ptrace = 19,
    /// An eBPF program or map was created or used.
    Bpf = 20,
    /// A kernel module was loaded or removed.
    Module = 21,
    /// A file without a name was created.
    Memfd = 22,
    /// Ids or capabilities of a process were changed.
    Setuid = 23,
    /// A signal was sent.
    Kill = 24,
    /// A process changed its working directory. This and the following kinds only feed the process table.
    Chdir = 32,
    /// A process moved to another cgroup.
    Cgroup = 33,
    /// A process existed before the agent.
    Process = 34,
}

impl Kind {
    /// Returns whether records of this kind use the lifecycle ring.
    pub fn is_lifecycle(self) -> bool {
        matches!(self, Self::Exec | Self::Clone | Self::Exit | Self::Chdir | Self::Cgroup | Self::Process)
    }
}

/// Error of decoding a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// There are fewer bytes than the fixed part has.
    #[error("record of {found} bytes is too short, {needed} needed")]
    Short { found: usize, needed: usize },
    /// The size in the header differs from the number of bytes.
    #[error("record of {found} bytes says it has {said}")]
    Size {
        found: usize,
        /// Size according to the header.
        said: u32,
    },
    /// The kind is unknown.
    #[error("record of unknown kind {0}")]
    Kind(u32),
    /// The record belongs to another tracer.
    #[error("record of kind {found:?} instead of {expected:?}")]
    Unexpected { found: Kind, expected: Kind },
    /// The lengths of the texts don't add up to the record's size.
    #[error("texts of record have {found} bytes, {needed} needed")]
    Texts { found: usize, needed: usize },
    /// The system call is not one of the tracer's.
    #[error("record of unknown system call {0}")]
    Call(u32),
    /// The direction is neither read nor written nor mapped.
    #[error("record of unknown direction {0}")]
    Direction(u32),
    /// The address family is neither IPv4 nor IPv6.
    #[error("record of unknown address family {0}")]
    Family(u16),
}
