//! File usage: what a process read, wrote or mapped of a file.

use crate::{BootNs, File, SocketIds, Text};

/// Bytes and calls that a process read, wrote or mapped of one file since the previous row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Absolute path as it was at the first of the calls; for a pipe or socket, its name as in `/proc/PID/fd`.
    pub path: Text,
    /// True if the path is incomplete.
    pub path_incomplete: bool,
    /// True if a file of the kernel or of the system's libraries was only read, see [`crate::system_files`].
    pub of_system: bool,
    /// Identity of the file.
    pub file: Option<File>,
    /// Identity of the socket, if the file is one.
    pub socket: Option<SocketIds>,
    /// `O_*` bits that the file is open with.
    pub flags: u64,
    /// Kind of use: read, written or mapped.
    pub direction: Direction,
    /// Bytes that the calls returned; for maps, the bytes mapped.
    pub bytes: u64,
    /// Number of calls that succeeded.
    pub calls: u64,
    /// Names of the calls used.
    pub via: Vec<&'static str>,
    /// When the first of them ended.
    pub first: BootNs,
    /// When the last of them ended, with the resolution of a clock tick.
    pub last: BootNs,
}

/// Kind of a file's use: read, written or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The process read from the file.
    Read,
    /// The process wrote to the file.
    Written,
    /// The process mapped the file into its memory.
    Mapped(Mapped),
}

/// The range and the protection of all mappings together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Smallest offset in the file.
    pub from: u64,
    /// End of the range, exclusive; may be behind the end of the file.
    pub to: u64,
    /// `PROT_*` bits, and above the lowest 8 `MAP_SHARED` and `MAP_PRIVATE`.
    pub protection: u32,
}

impl Mapped {
    /// Returns the names of the protection bits.
    pub fn protection_names(&self) -> Vec<&'static str> {
        let known = [
            (1, "PROT_READ"),
            (2, "PROT_WRITE"),
            (4, "PROT_EXEC"),
            (0x100, "MAP_SHARED"),
            (0x200, "MAP_PRIVATE"),
        ];
        known.iter().filter(|(bit, _)| self.protection & bit != 0).map(|(_, name)| *name).collect()
    }
}
