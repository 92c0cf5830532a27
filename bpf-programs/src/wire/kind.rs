//! What a record is, and why bytes are none.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a record is. The numbers are those of `include/wire.h`.
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
    /// A file was opened, or not.
    Open = 1,
    /// A program was executed.
    Exec = 2,
    /// A process or thread was made.
    Clone = 3,
    /// A process ended.
    Exit = 4,
    /// A TCP connection was made, or not.
    Connect = 5,
    /// A file got another name.
    Rename = 6,
    /// A name was taken away.
    Unlink = 7,
    /// A name was added.
    Link = 8,
    /// A file's length was set.
    Truncate = 9,
    /// A file's mode, owner, times or attributes were set.
    Attr = 10,
    /// A folder or special file was made.
    Mkdir = 11,
    /// The tree of mounts was changed.
    Mount = 12,
    /// What a process did with a file since it was last told.
    Usage = 13,
    /// A connection was taken.
    Accept = 14,
    /// A connection ended.
    Close = 15,
    /// A socket got an address, or began to listen.
    Bind = 16,
    /// A flow of datagrams began, or ended.
    Udp = 17,
    /// A name was asked for.
    Dns = 18,
    /// A process was traced, or its memory touched.
    Ptrace = 19,
    /// A program or map of eBPF was made or used.
    Bpf = 20,
    /// A kernel module was loaded or removed.
    Module = 21,
    /// A file without a name was made.
    Memfd = 22,
    /// A process got other ids or capabilities.
    Setuid = 23,
    /// A signal was sent.
    Kill = 24,
    /// A process moved to another folder. Not for tracers, like all that follow.
    Chdir = 32,
    /// A process moved to another cgroup.
    Cgroup = 33,
    /// A process that was there before the agent.
    Process = 34,
}

impl Kind {
    /// Its records come through the lifecycle ring.
    pub fn is_lifecycle(self) -> bool {
        matches!(self, Self::Exec | Self::Clone | Self::Exit | Self::Chdir | Self::Cgroup | Self::Process)
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the fixed part.
    #[error("record of {found} bytes is too short, {needed} needed")]
    Short {
        /// Bytes there are.
        found: usize,
        /// Bytes the fixed part has.
        needed: usize,
    },
    /// The record says another size.
    #[error("record of {found} bytes says it has {said}")]
    Size {
        /// Bytes there are.
        found: usize,
        /// Bytes it says.
        said: u32,
    },
    /// No such kind.
    #[error("record of unknown kind {0}")]
    Kind(u32),
    /// A record of another tracer.
    #[error("record of kind {found:?} where {expected:?} is due")]
    Unexpected {
        /// Kind it is.
        found: Kind,
        /// Kind it should be.
        expected: Kind,
    },
    /// The texts don't fill the record exactly.
    #[error("texts of record have {found} bytes, {needed} needed")]
    Texts {
        /// Bytes there are.
        found: usize,
        /// Bytes the texts say.
        needed: usize,
    },
    /// Not a call of the tracer's.
    #[error("record of unknown system call {0}")]
    Call(u32),
    /// Neither read nor written nor mapped.
    #[error("record of unknown direction {0}")]
    Direction(u32),
    /// Neither IPv4 nor IPv6.
    #[error("record of unknown address family {0}")]
    Family(u16),
}
