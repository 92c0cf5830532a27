//! Records of the usage ledger, its keys, and the result of the programs that flush it.

use super::{FileId, Header, Plain, SocketIds, TextRef, WireError, read};

wire_structs! {
    /// Record of kind [`Kind::Usage`].
    pub(crate) UsageRecord {
        /// The process as it was at the first use, and the time of the flush.
        header: Header,
        /// Time at which the first of the calls ended.
        first_ns: u64,
        /// Time at which the last of the calls ended, to a clock tick.
        last_ns: u64,
        /// Sum of the bytes that the calls returned; for maps the bytes mapped.
        bytes: u64,
        /// Number of calls.
        calls: u64,
        /// For maps: lowest offset mapped from the file.
        low: u64,
        /// For maps: highest offset mapped from the file.
        high: u64,
        /// Clock tick of the last use; only for the kernel side.
        tick: u64,
        /// Identity of the file.
        file: FileId,
        /// `O_*` bits that the file is open with.
        flags: u32,
        /// Read, written or mapped: `USAGE_*` of `include/wire.h`.
        direction: u32,
        /// The calls used, a bit each, see [`crate::tracers::usage::WAYS`].
        via: u32,
        /// For maps: `PROT_*` bits, and above them `MAP_*` bits.
        protection: u32,
        /// Path of the file.
        path: TextRef,
        pad: u32,
        /// Identity of the socket, if the file is one.
        socket: SocketIds,
    }

    /// The key of the ledger's maps: process, file, one of its names, and direction.
    pub(crate) UsageKey {
        /// Start of the process in nanoseconds since boot.
        start_ns: u64,
        /// Inode number of the file.
        ino: u64,
        /// Address of the mount (`struct vfsmount`) through which the file was opened.
        mnt: u64,
        /// Address of the name (`struct dentry`) that the file was opened by.
        dentry: u64,
        /// Process id (`tgid`).
        tgid: u32,
        /// Device of the file, in the kernel's encoding.
        dev: u32,
        /// The inode's generation.
        generation: u32,
        /// Read, written or mapped: `USAGE_*` of `include/wire.h`.
        direction: u32,
    }

    /// Result of a program that makes sums of the usage ledger or of UDP flows into records.
    pub Sweep {
        /// Number of the ledger's entries that were flushed; 0 for flows.
        flushed: u32,
        /// Not 0 if entries or flows remain.
        left: u32,
        /// Number of the ledger's buffer that was flushed; 0 for flows.
        side: u32,
        pad: u32,
    }
}

impl Sweep {
    /// Parses the output of such a program.
    ///
    /// # Errors
    /// Fails if the output is too short.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        read(bytes)
    }
}
