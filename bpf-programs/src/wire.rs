//! What passes between kernel and agent: `include/wire.h` in Rust, and bytes to checked structs.
//!
//! All of this crate's `unsafe` is here. Bytes from a ring are not trusted: whatever they are, the answer is a
//! checked value or a [`WireError`].
#![expect(
    unsafe_code,
    reason = "plain-data structs are read from bytes and written to maps here, nowhere else"
)]

mod barrier;
mod kind;
mod ring;
mod texts;
mod values;

pub use barrier::wait_for_programs;
pub use kind::{Kind, WireError};
pub(crate) use ring::RingReader;
pub(crate) use texts::{RawText, Texts, view};
pub use texts::{
    TEXT_CUT, TEXT_DELETED, TEXT_DETACHED, TEXT_HANDLE, TEXT_INCOMPLETE, TEXT_OUTSIDE, TEXT_PATH,
    TEXT_UNREADABLE, split,
};

/// [`Header::flags`]: its tracer is enabled and the filters let it pass; it is counted in `seen`.
pub const FLAG_TRACED: u32 = 1;
/// Set in [`Header::flags`]: it was asked for through io_uring.
pub const FLAG_URING: u32 = 2;
/// Set in [`Header::flags`]: in a 32-bit program's call.
pub const FLAG_COMPAT: u32 = 4;

/// [`ExecRecord::call`] of one that succeeded: execveat was given the descriptor of a file or folder.
pub const EXEC_BY_DESCRIPTOR: u32 = u32::MAX;

/// [`FileId::layer`]: the layer that is written to.
pub const LAYER_UPPER: u32 = 1;
/// [`FileId::layer`]: one of those below.
pub const LAYER_LOWER: u32 = 2;

/// Structs that any bytes of their size make, so that reading one can't be wrong.
///
/// # Safety
/// `repr(C)`, only integers and arrays of integers and of such structs, no padding.
unsafe trait Plain: Copy {}

macro_rules! wire_structs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }

        impl $name {
            /// Name, offset and size of each field, to compare with C's.
            pub const LAYOUT: &'static [(&'static str, usize, usize)] = &[
                $((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$kind>()),)*
            ];
        }

        // No hidden padding: the fields' sizes add up.
        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$kind>())*);

        // SAFETY: `repr(C)`, fields are integers or such structs (this macro's only uses are below), and the
        // assertion above leaves no padding.
        unsafe impl Plain for $name {}
        // SAFETY: as above.
        unsafe impl aya::Pod for $name {}
    )*};
}

mod maps;
mod rules;
pub use maps::*;
pub use rules::*;

wire_structs! {
    /// Length and nature of one text behind a record's fixed part.
    TextRef {
        /// Bytes.
        len: u16,
        /// `TEXT_*` bits.
        flags: u16,
    }

    /// The start of every record.
    Header {
        /// A [`Kind`].
        kind: u32,
        /// `FLAG_*` bits.
        flags: u32,
        /// Bytes of the whole record.
        size: u32,
        /// Process id (`tgid`).
        pid: u32,
        /// When, nanoseconds since boot.
        time_ns: u64,
        /// When the process started, nanoseconds since boot.
        start_ns: u64,
        /// Thread id.
        tid: u32,
        /// Process id of the real parent.
        ppid: u32,
        /// Effective user id.
        euid: u32,
        /// Effective group id.
        egid: u32,
        /// See [`Identity::cgroup_id`].
        cgroup_id: u64,
        /// Inode number of the pid namespace.
        pid_ns: u32,
        /// Inode number of the mount namespace.
        mnt_ns: u32,
        /// Process id in its own pid namespace.
        ns_pid: u32,
        /// Number of the cgroup's hierarchy; 0 is v2.
        hierarchy: u32,
        /// Command name, closed by a NUL if shorter.
        comm: [u8; 16],
    }

    /// Which file a descriptor stands for.
    FileId {
        /// Inode number.
        ino: u64,
        /// Device, major number.
        dev_major: u32,
        /// Device, minor number.
        dev_minor: u32,
        /// Tells apart files that had the same number one after the other.
        generation: u32,
        /// Magic number of its filesystem.
        fs_magic: u32,
        /// The inode's mode.
        mode: u16,
        /// Not 0: the rest is there.
        known: u16,
        /// Device of the layer's file that an overlayfs takes it from, as the kernel has it.
        real_dev: u32,
        /// Inode number of that.
        real_ino: u64,
        /// Generation of that.
        real_generation: u32,
        /// Whose: `LAYER_*`.
        layer: u32,
    }

    /// Kind [`Kind::Open`].
    OpenRecord {
        /// Who and when.
        header: Header,
        /// `O_*` bits as asked.
        flags: u64,
        /// The file that was opened.
        file: FileId,
        /// Descriptor or negative errno.
        ret: i32,
        /// Permission bits as asked.
        mode: u16,
        /// What the process takes off a mode.
        umask: u16,
        /// The path as asked.
        asked: TextRef,
        /// The file; of a failed open the folder that a relative `asked` starts from.
        path: TextRef,
    }

    /// Kind [`Kind::Exec`].
    ExecRecord {
        /// Who and when.
        header: Header,
        /// What runs now; of a failed one what its descriptor stands for.
        file: FileId,
        /// 0 or negative errno.
        ret: i32,
        /// Of a failed one the system call's number, else 0 or [`EXEC_BY_DESCRIPTOR`].
        call: u32,
        /// Of a failed one: `AT_*` bits.
        flags: u32,
        /// The path as asked.
        asked: TextRef,
        /// The executable file; of a failed one the folder that a relative `asked` starts from, or the descriptor's file.
        exe: TextRef,
        /// The working folder.
        cwd: TextRef,
        /// The cgroup.
        cgroup: TextRef,
        /// Arguments, each closed by a NUL.
        argv: TextRef,
    }

    /// Kind [`Kind::Clone`].
    CloneRecord {
        /// Who (the parent) and when.
        header: Header,
        /// `CLONE_*` bits.
        flags: u64,
        /// When the child's task started.
        child_start_ns: u64,
        /// The child's cgroup.
        child_cgroup_id: u64,
        /// The child's process id.
        child_pid: u32,
        /// The child's thread id.
        child_tid: u32,
        /// Not 0: `flags` is there.
        has_flags: u32,
        /// The child's cgroup's path, if it is not the parent's.
        cgroup: TextRef,
    }

    /// Kind [`Kind::Exit`].
    ExitRecord {
        /// Who and when.
        header: Header,
        /// As `wait` tells it.
        status: u32,
        /// Nothing.
        pad: u32,
    }

    /// Kinds [`Kind::Connect`], [`Kind::Accept`] to [`Kind::Dns`].
    SockRecord {
        /// Who and when.
        header: Header,
        /// Local address; IPv4 in the first 4 bytes.
        saddr: [u8; 16],
        /// Remote address.
        daddr: [u8; 16],
        /// Bytes that went.
        sent: u64,
        /// Bytes that came.
        received: u64,
        /// Datagrams that went.
        datagrams_sent: u64,
        /// Datagrams that came.
        datagrams_received: u64,
        /// When the connection or flow began, nanoseconds since boot.
        since_ns: u64,
        /// When its last datagram went or came.
        last_ns: u64,
        /// Local port.
        sport: u16,
        /// Remote port.
        dport: u16,
        /// 1, 2 or 10.
        family: u16,
        /// `SOCK_STREAM` and its like.
        kind: u16,
        /// `IPPROTO_TCP` and its like.
        protocol: u16,
        /// `SOCK_*` bits.
        flags: u16,
        /// The call's result, or negative errno.
        ret: i32,
        /// The system call's number.
        call: u32,
        /// Connections that may wait, of a listen.
        backlog: u32,
        /// Who made the other end of a unix socket.
        peer_pid: u32,
        /// A unix socket's name; of kind dns the datagram.
        name: TextRef,
        /// A unix socket's file, or the folder its name starts from.
        base: TextRef,
        /// Nothing.
        pad: u32,
    }

    /// Kinds [`Kind::Rename`] to [`Kind::Mount`].
    FsRecord {
        /// Who and when.
        header: Header,
        /// A number it was called with; which, the call decides.
        a: u64,
        /// Another.
        b: u64,
        /// Another.
        c: u64,
        /// The file behind the descriptor it was called with.
        file: FileId,
        /// 0 or negative errno.
        ret: i32,
        /// The system call's number.
        call: u32,
        /// The path as asked.
        asked: TextRef,
        /// The folder it starts from; of a descriptor the file itself.
        base: TextRef,
        /// The second path as asked.
        asked2: TextRef,
        /// The folder it starts from.
        base2: TextRef,
        /// A word it was called with; which, the call decides.
        word: TextRef,
        /// Nothing.
        pad: u32,
    }

    /// Kind [`Kind::Usage`].
    UsageRecord {
        /// Who, as it was when this began; and when it was told.
        header: Header,
        /// When the first of the calls ended.
        first_ns: u64,
        /// When the last did, to a clock tick.
        last_ns: u64,
        /// Returned by the calls; of maps what was mapped.
        bytes: u64,
        /// How many.
        calls: u64,
        /// Of maps: from where in the file,
        low: u64,
        /// to where.
        high: u64,
        /// The kernel side's.
        tick: u64,
        /// Which file.
        file: FileId,
        /// `O_*` bits it is open with.
        flags: u32,
        /// `USAGE_*`.
        direction: u32,
        /// A bit for each way, see [`crate::usage::WAYS`].
        via: u32,
        /// Of maps: `PROT_*` bits, and above them `MAP_*` bits.
        protection: u32,
        /// The file.
        path: TextRef,
        /// Nothing.
        pad: u32,
    }

    /// The key of the ledger's maps: whose account with what.
    UsageKey {
        /// When the process started.
        start_ns: u64,
        /// Inode number.
        ino: u64,
        /// Process id.
        tgid: u32,
        /// Device, as the kernel has it.
        dev: u32,
        /// The inode's generation.
        generation: u32,
        /// `USAGE_*`.
        direction: u32,
    }

    /// What the program that sweeps the ledger says it did.
    Sweep {
        /// Entries taken out.
        told: u32,
        /// Not 0: there are more.
        left: u32,
        /// Of which half.
        side: u32,
        /// Nothing.
        pad: u32,
    }

    /// Kinds [`Kind::Ptrace`] to [`Kind::Kill`].
    ActRecord {
        /// Who and when.
        header: Header,
        /// What the call was given.
        args: [u64; 6],
        /// User and group afterwards: real, effective, saved, of files.
        ids: [u64; 4],
        /// Effective capabilities afterwards.
        capabilities: u64,
        /// The file it is about.
        file: FileId,
        /// What it returned, or negative errno.
        ret: i32,
        /// The system call's number.
        call: u32,
        /// Of a program or map of eBPF.
        of_type: u32,
        /// The process that a descriptor stands for.
        target_pid: u32,
        /// The file's path.
        path: TextRef,
        /// A word it was called with; which, the call decides.
        word: TextRef,
    }

    /// Kinds [`Kind::Chdir`], [`Kind::Cgroup`], [`Kind::Process`].
    ProcessRecord {
        /// Who and when.
        header: Header,
        /// The executable file.
        exe: TextRef,
        /// The working folder.
        cwd: TextRef,
        /// The cgroup.
        cgroup: TextRef,
        /// Nothing.
        pad: u32,
    }
}

/// Reads a `T` from the beginning.
fn read<T: Plain>(bytes: &[u8]) -> Result<T, WireError> {
    let Some(fixed) = bytes.get(..size_of::<T>()) else {
        return Err(WireError::Short { found: bytes.len(), needed: size_of::<T>() });
    };
    // SAFETY: `fixed` has the size of `T`, any bytes make a `T` (`Plain`), and nothing is assumed about alignment.
    Ok(unsafe { fixed.as_ptr().cast::<T>().read_unaligned() })
}

impl Sweep {
    /// What the program wrote.
    ///
    /// # Errors
    /// It is not all there.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        read(bytes)
    }
}
