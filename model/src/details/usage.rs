//! What a process did with a file.

use crate::{BootNs, File, Text};

/// What a process did with a file, one way, since it was last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Absolute path as it was at the first of the calls; a pipe's or socket's as `/proc/PID/fd` has it.
    pub path: Text,
    /// The path is not whole.
    pub path_incomplete: bool,
    /// Which file.
    pub file: Option<File>,
    /// `O_*` bits it is open with.
    pub flags: u64,
    /// Which way.
    pub direction: Direction,
    /// Bytes that the calls returned; of maps what was mapped.
    pub bytes: u64,
    /// How many calls, failed ones excepted.
    pub calls: u64,
    /// By which calls.
    pub via: Vec<&'static str>,
    /// When the first of them ended.
    pub first: BootNs,
    /// When the last did, to a clock tick.
    pub last: BootNs,
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the file.
    Read,
    /// To the file.
    Written,
    /// Its pages became the process's memory.
    Mapped(Mapped),
}

/// What was mapped, over all maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// From where in the file.
    pub from: u64,
    /// To where: not included, and it may lie behind the file's end.
    pub to: u64,
    /// `PROT_*` bits, and above the lowest 8 `MAP_SHARED` and `MAP_PRIVATE`.
    pub protection: u32,
}

impl Mapped {
    /// Names of its bits.
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
