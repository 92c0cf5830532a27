//! The data exchanged between kernel and agent: the structs of `include/wire.h` and `include/map_values.h` in Rust, and their checked decoding.
//!
//! All `unsafe` code of this crate is here. Bytes from a ring are not trusted: decoding returns a checked value or a
//! [`WireError`], whatever the bytes.
#![expect(
    unsafe_code,
    reason = "plain-data structs are read from bytes and written to maps here, nowhere else"
)]

mod barrier;
mod kind;
mod loss_cause;
mod ring;
mod texts;
mod values;

pub use barrier::wait_for_programs;
pub(crate) use kind::Family;
pub use kind::Kind;
pub use kind::Ring;
pub(crate) use kind::WireError;
pub use loss_cause::LossCause;
pub(crate) use ring::RingReader;
pub(crate) use texts::{RawText, Texts, view};
pub(crate) use texts::{
    TEXT_CUT, TEXT_DELETED, TEXT_DETACHED, TEXT_HANDLE, TEXT_INCOMPLETE, TEXT_OUTSIDE, TEXT_RESOLVED,
    TEXT_UNREADABLE, split,
};

/// Bit of [`Header::flags`]: the tracer is enabled and the filters let the event pass, so it is counted in `seen`.
pub(crate) const FLAG_TRACED: u32 = 1;
/// Bit of [`Header::flags`]: the operation was requested through io_uring.
pub(crate) const FLAG_URING: u32 = 2;
/// Bit of [`Header::flags`]: the operation was a 32-bit program's call.
pub(crate) const FLAG_COMPAT: u32 = 4;
/// Bit of [`Header::flags`]: a text or a file could have been changed by another thread before it was read.
pub(crate) const FLAG_UNVERIFIED: u32 = 8;
/// Bit of [`Header::flags`]: the operation has ended, but its result, or that of one of a usage's calls, is not known.
pub(crate) const FLAG_NO_RESULT: u32 = 16;

/// Value of [`Header::loginuid`] and [`Header::sessionid`]: unset.
const NO_ID: u32 = u32::MAX;

/// Bit of [`Header::owner`]: the number is a cgroup's, for processes of root.
pub(crate) const OWNER_CGROUP: u64 = 1 << 63;

/// Value of [`ExecRecord::call`] if the exec succeeded and execveat was given the descriptor of a file or directory.
pub(crate) const EXEC_BY_DESCRIPTOR: u32 = u32::MAX;

/// Bit of [`FileId::known`]: a file of the kernel or of the system's libraries, which was only read.
pub(crate) const FILE_OF_SYSTEM: u16 = 2;
/// Bit of [`FileId::known`]: a device is that of a whole btrfs, and not that of the file's subvolume.
const FILE_SUBVOLUME_UNKNOWN: u16 = 4;

/// Value of [`FileId::layer`]: overlayfs's upper layer, which is written to.
pub(crate) const LAYER_UPPER: u32 = 1;
/// Value of [`FileId::layer`]: one of overlayfs's lower layers.
pub(crate) const LAYER_LOWER: u32 = 2;

/// Structs for which any bytes of the right size are a valid value.
///
/// # Safety
/// `repr(C)`, only integers and arrays of integers and of such structs, no padding.
unsafe trait Plain: Copy {}

macro_rules! wire_structs {
    ($($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis struct $name { $($(#[$field_doc])* pub $field: $kind,)* }

        impl $name {
            /// Name, offset and size of each field, to be compared with the C struct.
            #[cfg(test)]
            pub(crate) const LAYOUT: &'static [(&'static str, usize, usize)] = &[
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
mod sockets;
mod usage;
pub use maps::*;
pub use rules::*;
pub(crate) use sockets::*;
pub use usage::*;

wire_structs! {
    /// Length and flags of one text behind a record's fixed part.
    pub(crate) TextRef {
        /// Length in bytes.
        len: u16,
        /// Flags of a text (`TEXT_*`).
        flags: u16,
    }

    /// The start of every record.
    pub Header {
        /// Number of the [`Kind`].
        kind: u32,
        /// `FLAG_*` bits of this record.
        flags: u32,
        /// Size of the whole record in bytes.
        size: u32,
        /// Process id (`tgid`) in the initial pid namespace.
        pid: u32,
        /// Time of the event in nanoseconds since boot.
        time_ns: u64,
        /// Start of the process in nanoseconds since boot.
        start_ns: u64,
        tid: u32,
        /// Process id of the real parent.
        ppid: u32,
        /// Effective user id.
        euid: u32,
        /// Effective group id.
        egid: u32,
        /// Id of the cgroup in its hierarchy.
        cgroup_id: u64,
        /// Inode number of the pid namespace.
        pid_ns: u32,
        /// Inode number of the mount namespace.
        mnt_ns: u32,
        /// Process id in the process's own pid namespace.
        ns_pid: u32,
        /// Number of the cgroup's hierarchy; 0 is v2.
        hierarchy: u32,
        /// Owner of the record, whose budgets it takes: a user id, or bit 63 and the id of a cgroup.
        owner: u64,
        /// User who logged in, whatever `sudo` and the like did since; `u32::MAX` if nobody did.
        loginuid: u32,
        /// Session of that login, or `u32::MAX`.
        sessionid: u32,
        /// Real user id.
        ruid: u32,
        /// User id for access to files.
        fsuid: u32,
        /// Inode number of the network namespace.
        net_ns: u32,
        pad: u32,
        /// Command name, ended by a NUL if shorter.
        comm: [u8; 16],
    }

    /// Identity of a file: device, inode and generation. `real_*` is the file of the overlayfs layer that has the data.
    pub(crate) FileId {
        /// Inode number of the file.
        ino: u64,
        /// Major number of the device.
        dev_major: u32,
        /// Minor number of the device.
        dev_minor: u32,
        /// Generation of the inode; distinguishes files that had the same inode number one after the other.
        generation: u32,
        /// Magic number of the filesystem.
        fs_magic: u32,
        /// The inode's mode.
        mode: u16,
        /// Not 0 if the other fields are filled in; with bit [`FILE_OF_SYSTEM`] for some files.
        known: u16,
        /// Device of the layer's file, in the kernel's encoding.
        real_dev: u32,
        /// Inode number of the layer's file.
        real_ino: u64,
        /// Generation of the layer's file.
        real_generation: u32,
        /// The layer: `LAYER_*`, or 0 if the file is not on overlayfs or the layer is unknown.
        layer: u32,
    }

    /// Record of kind [`Kind::Open`].
    pub(crate) OpenRecord {
        /// Process, thread and time.
        header: Header,
        /// `O_*` bits as requested.
        flags: u64,
        /// The file that was opened.
        file: FileId,
        /// Descriptor or negative errno.
        ret: i32,
        /// Permission bits as requested.
        mode: u16,
        /// Bits that the process removes from a mode.
        umask: u16,
        /// The path as requested.
        asked: TextRef,
        /// Path of the file; if the open failed, of the directory that a relative `asked` starts from.
        path: TextRef,
    }

    /// Record of kind [`Kind::Exec`].
    pub(crate) ExecRecord {
        /// Process, thread and time.
        header: Header,
        /// The file that was to be executed, a program or a script, if it was opened.
        file: FileId,
        /// The program that runs, if it is another one.
        interpreter: FileId,
        /// 0 or negative errno.
        ret: i32,
        /// If the exec failed, the number of the system call, else 0 or [`EXEC_BY_DESCRIPTOR`].
        call: u32,
        /// `AT_*` bits, if the exec failed.
        flags: u32,
        /// The path as requested.
        asked: TextRef,
        /// Path of the file; if the exec failed and there is none, of the directory that a relative `asked` starts from.
        path: TextRef,
        /// Path of the working directory.
        cwd: TextRef,
        /// Path of the cgroup.
        cgroup: TextRef,
        /// Arguments, each ended by a NUL.
        argv: TextRef,
        /// Path of the interpreter.
        interpreter_path: TextRef,
        pad: u32,
    }

    /// Record of kind [`Kind::Clone`].
    pub(crate) CloneRecord {
        /// The parent, and the time.
        header: Header,
        /// Flags of the call (`CLONE_*`).
        flags: u64,
        /// Start of the child's task in nanoseconds since boot.
        child_start_ns: u64,
        /// Id of the child's cgroup.
        child_cgroup_id: u64,
        /// The child's process id.
        child_pid: u32,
        /// The child's thread id.
        child_tid: u32,
        /// Not 0 if `flags` is known.
        has_flags: u32,
        /// Inode number of the child's pid namespace.
        child_pid_ns: u32,
        /// Process id of the child's process in that namespace.
        child_ns_pid: u32,
        /// Path of the child's cgroup, if it differs from the parent's.
        cgroup: TextRef,
    }

    /// Record of kind [`Kind::Exit`].
    pub(crate) ExitRecord {
        /// Process, thread and time.
        header: Header,
        /// Exit status as `wait()` returns it.
        status: u32,
        pad: u32,
    }

    /// Record of family `Fs`.
    pub(crate) FsRecord {
        /// Process, thread and time.
        header: Header,
        /// First argument in the order of the table in `src/tracers/fs.rs`, as are `b` and `c`.
        a: u64,
        b: u64,
        c: u64,
        /// The file behind the descriptor that the call was given; else the file that was made, changed or removed, if
        /// known.
        file: FileId,
        /// The file that a rename replaced.
        replaced: FileId,
        /// 0 or negative errno.
        ret: i32,
        /// Number of the system call.
        call: u32,
        /// The path as requested.
        asked: TextRef,
        /// Path of the directory that `asked` starts from, or of the file behind a descriptor, or with
        /// [`TEXT_RESOLVED`] the path itself.
        base: TextRef,
        /// The second path as requested.
        asked2: TextRef,
        /// Path of the directory that `asked2` starts from.
        base2: TextRef,
        /// Name of an attribute or filesystem, or target of a symbolic link, by call.
        word: TextRef,
        pad: u32,
    }

    /// Record of family `Act`.
    pub(crate) ActRecord {
        /// Process, thread and time.
        header: Header,
        /// Arguments of the call.
        args: [u64; 6],
        /// Real, effective, saved and file system ids after the call: user in the low half, group in the high half. In
        /// records of `namespace` and `ipc` numbers of namespaces and objects.
        ids: [u64; 4],
        /// Effective capabilities after the call.
        capabilities: u64,
        /// The file that the call is about.
        file: FileId,
        /// Result of the call, or negative errno.
        ret: i32,
        /// Number of the system call.
        call: u32,
        /// Type of the eBPF program or map, or of the namespace.
        of_type: u32,
        /// The process that the call is about, in the initial pid namespace; 0 if it is not known.
        target_pid: u32,
        /// Start of that process; 0 if it has ended.
        target_start_ns: u64,
        /// The thread that the call is about, in the initial pid namespace.
        target_tid: u32,
        /// Path of `file`.
        path: TextRef,
        /// A name or parameters, by call.
        word: TextRef,
        pad: u32,
    }

    /// Record of family `Process`.
    pub(crate) ProcessRecord {
        /// Process, thread and time.
        header: Header,
        /// Path of the executable.
        exe: TextRef,
        /// Path of the working directory.
        cwd: TextRef,
        /// Path of the cgroup.
        cgroup: TextRef,
        pad: u32,
    }
}

/// Reads a `T` from the beginning of `bytes`.
fn read<T: Plain>(bytes: &[u8]) -> Result<T, WireError> {
    let Some(fixed) = bytes.get(..size_of::<T>()) else {
        return Err(WireError::Short { found: bytes.len(), needed: size_of::<T>() });
    };
    // SAFETY: `fixed` has the size of `T`, any bytes make a `T` (`Plain`), and nothing is assumed about alignment.
    Ok(unsafe { fixed.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests;
