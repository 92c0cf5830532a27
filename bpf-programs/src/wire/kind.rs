//! What a record is, and why bytes are none.

/// What a record is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
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
        !matches!(self, Self::Open | Self::Connect)
    }
}

impl TryFrom<u32> for Kind {
    type Error = WireError;

    fn try_from(number: u32) -> Result<Self, WireError> {
        Ok(match number {
            1 => Self::Open,
            2 => Self::Exec,
            3 => Self::Clone,
            4 => Self::Exit,
            5 => Self::Connect,
            32 => Self::Chdir,
            33 => Self::Cgroup,
            34 => Self::Process,
            _ => return Err(WireError::Kind(number)),
        })
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
    /// Neither IPv4 nor IPv6.
    #[error("record of unknown address family {0}")]
    Family(u16),
}
