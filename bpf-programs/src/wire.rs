//! What passes between kernel and agent: `include/wire.h` in Rust, and bytes to checked structs.
//!
//! All of this crate's `unsafe` is here. Bytes from a ring are not trusted: whatever they are, the answer is a
//! checked value or a [`WireError`].
#![expect(
    unsafe_code,
    reason = "plain-data structs are read from bytes and written to maps here, nowhere else"
)]

mod kind;
mod ring;

use model::{BootNs, Identity, Text};

pub use kind::{Kind, WireError};
pub(crate) use ring::RingReader;

/// User ids that fit into [`Settings::uids`].
pub const MAX_UIDS: usize = 16;
/// Slots of the map `counts`, indexed by [`Kind`].
pub const COUNT_SLOTS: u32 = 64;
/// The slot of `counts` whose `lost` counts what did not fit into the lifecycle ring, traced or not.
pub const COUNT_LIFECYCLE: u32 = 63;
/// [`Header::flags`]: its tracer is enabled and the filters let it pass; it is counted in `seen`.
pub const FLAG_TRACED: u32 = 1;

/// [`TextRef::flags`]: names from the leaf up, each closed by a NUL.
pub const TEXT_PATH: u16 = 1;
/// Too deep, too long, or partly unreadable.
pub const TEXT_INCOMPLETE: u16 = 2;
/// The beginning of something longer.
pub const TEXT_CUT: u16 = 4;
/// The file has no name any more: this was its last.
pub const TEXT_DELETED: u16 = 8;
/// Not below the process's root: as seen from the root of all mounts.
pub const TEXT_OUTSIDE: u16 = 16;
/// No folder leads there: a pipe, a socket, an anonymous inode.
pub const TEXT_DETACHED: u16 = 32;
/// Could not be read at all.
pub const TEXT_UNREADABLE: u16 = 64;

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
        /// Command name, closed by a NUL if shorter.
        comm: [u8; 16],
    }

    /// Kind [`Kind::Open`].
    OpenRecord {
        /// Who and when.
        header: Header,
        /// `O_*` bits as asked.
        flags: u64,
        /// Inode number.
        ino: u64,
        /// Descriptor or negative errno.
        ret: i32,
        /// Permission bits as asked.
        mode: u32,
        /// Device, major number.
        dev_major: u32,
        /// Device, minor number.
        dev_minor: u32,
        /// Magic number of a detached file's filesystem.
        fs_magic: u32,
        /// The inode's mode.
        file_mode: u16,
        /// Not 0: device, inode and mode are there.
        has_file: u16,
        /// The path as asked.
        asked: TextRef,
        /// The file; of a failed open the folder that a relative `asked` starts from.
        path: TextRef,
    }

    /// Kind [`Kind::Exec`].
    ExecRecord {
        /// Who and when.
        header: Header,
        /// The path as asked.
        asked: TextRef,
        /// The executable file.
        exe: TextRef,
        /// The working folder.
        cwd: TextRef,
        /// The cgroup.
        cgroup: TextRef,
        /// Arguments, each closed by a NUL.
        argv: TextRef,
        /// Nothing.
        pad: u32,
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

    /// Kind [`Kind::Connect`].
    ConnectRecord {
        /// Who and when.
        header: Header,
        /// Local address; IPv4 in the first 4 bytes.
        saddr: [u8; 16],
        /// Remote address.
        daddr: [u8; 16],
        /// Local port.
        sport: u16,
        /// Remote port.
        dport: u16,
        /// 2 or 10.
        family: u16,
        /// Not 0: the caller did not wait.
        nonblocking: u16,
        /// 0 or negative errno.
        ret: i32,
        /// Nothing.
        pad: u32,
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

    /// The value of the map `settings`, which may be written at any time.
    Settings {
        /// Bit n: the tracer of kind n emits.
        enabled: u64,
        /// Bytes in the data ring that wake the agent.
        data_wakeup: u32,
        /// The same for the lifecycle ring.
        lifecycle_wakeup: u32,
        /// How many of `uids` count; 0 is everybody.
        uid_count: u32,
        /// Effective user ids that are traced.
        uids: [u32; MAX_UIDS],
        /// The agent's process as it knows itself, until it has read the task iterator.
        agent_tgid: u32,
        /// When the process started that read the task iterator last: the agent.
        reader_start_ns: u64,
        /// That process.
        reader_tgid: u32,
        /// Nothing.
        pad: u32,
    }

    /// The value of the map `mark`: whose the maps are, for an agent that finds them pinned.
    Mark {
        /// Unlike any other's.
        pin: u64,
        /// What the programs were made from.
        object: u64,
        /// Where the records go.
        store: u64,
        /// What they are stored under.
        names: u64,
        /// When, since boot.
        made_ns: u64,
        /// Bytes of the data ring.
        data_size: u32,
        /// Bytes of the lifecycle ring.
        lifecycle_size: u32,
        /// Not 0: everything was pinned. Written last.
        complete: u32,
        /// Nothing.
        pad: u32,
    }

    /// One CPU's value of the map `counts`.
    Count {
        /// Events that passed the filters.
        seen: u64,
        /// Those of them that found the ring full.
        lost: u64,
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

impl Header {
    /// The checked start of a record that is all of `bytes`.
    ///
    /// # Errors
    /// The bytes are too few, or not as many as the record says.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let header: Self = read(bytes)?;
        if header.size as usize != bytes.len() {
            return Err(WireError::Size { found: bytes.len(), said: header.size });
        }
        Ok(header)
    }

    /// What the record is.
    ///
    /// # Errors
    /// There is no such kind.
    pub fn kind(&self) -> Result<Kind, WireError> {
        Kind::try_from(self.kind)
    }

    /// It counts for its tracer, and is to be handed to it.
    pub fn is_traced(&self) -> bool {
        self.flags & FLAG_TRACED != 0
    }

    /// When it happened.
    pub fn at(&self) -> BootNs {
        BootNs(self.time_ns)
    }

    /// The process behind it.
    pub fn identity(&self) -> Identity {
        let comm = self.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        Identity {
            pid: self.pid,
            tid: self.tid,
            ppid: self.ppid,
            start_ns: self.start_ns,
            uid: self.euid,
            gid: self.egid,
            comm: Text::from_bytes(comm),
            cgroup_id: self.cgroup_id,
            pid_ns: self.pid_ns,
            mnt_ns: self.mnt_ns,
        }
    }
}

/// A record's fixed part, checked to be of one of `kinds`, and its texts.
pub(crate) fn view<'a, T: Fixed>(bytes: &'a [u8], kinds: &[Kind]) -> Result<(T, Texts<'a>), WireError> {
    let header = Header::parse(bytes)?;
    let found = header.kind()?;
    if !kinds.contains(&found) {
        return Err(WireError::Unexpected { found, expected: kinds[0] });
    }
    T::fixed(bytes)
}

/// A struct that is the fixed part of a record.
pub(crate) trait Fixed: Sized {
    /// Takes it from the record's beginning; the rest are its texts.
    fn fixed(bytes: &[u8]) -> Result<(Self, Texts<'_>), WireError>;
}

impl<T: Plain> Fixed for T {
    fn fixed(bytes: &[u8]) -> Result<(Self, Texts<'_>), WireError> {
        Ok((read(bytes)?, Texts { rest: &bytes[size_of::<T>()..] }))
    }
}

/// The texts behind a record's fixed part, to be taken in order.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    rest: &'a [u8],
}

/// One text: its bytes and `TEXT_*` bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawText<'a> {
    pub(crate) bytes: &'a [u8],
    flags: u16,
}

impl RawText<'_> {
    /// Any of these bits is set.
    pub(crate) fn is(self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

impl<'a> Texts<'a> {
    /// The next text.
    pub(crate) fn take(&mut self, text: TextRef) -> Result<RawText<'a>, WireError> {
        let needed = usize::from(text.len);
        let error = WireError::Texts { found: self.rest.len(), needed };
        let (bytes, rest) = self.rest.split_at_checked(needed).ok_or(error)?;
        self.rest = rest;
        Ok(RawText { bytes, flags: text.flags })
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            found => Err(WireError::Texts { found, needed: 0 }),
        }
    }
}

/// Splits bytes in which records stand one behind the other (what the task iterator gives). After an error
/// nothing more comes: where the next record begins can't be known.
pub fn split(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], WireError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let all = std::mem::take(&mut rest);
        Some(read::<Header>(all).and_then(|header| {
            let size = (header.size as usize).max(size_of::<Header>());
            let error = WireError::Short { found: all.len(), needed: size };
            let (record, behind) = all.split_at_checked(size).ok_or(error)?;
            rest = behind;
            Ok(record)
        }))
    })
}

impl Default for Settings {
    /// No tracer emits; no filter.
    fn default() -> Self {
        Self {
            enabled: 0,
            data_wakeup: 2 << 20,
            lifecycle_wakeup: 512 << 10,
            uid_count: 0,
            uids: [0; MAX_UIDS],
            agent_tgid: 0,
            reader_start_ns: 0,
            reader_tgid: 0,
            pad: 0,
        }
    }
}

impl Settings {
    /// Lets the tracer of `kind` emit, or not.
    pub fn enable(&mut self, kind: Kind, on: bool) {
        let bit = 1 << kind as u32;
        self.enabled = if on { self.enabled | bit } else { self.enabled & !bit };
    }

    /// Traces only these users, as many as there is room for; none: everybody.
    pub fn set_uids(&mut self, uids: &[u32]) {
        let count = uids.len().min(MAX_UIDS);
        self.uids = [0; MAX_UIDS];
        self.uids[..count].copy_from_slice(&uids[..count]);
        self.uid_count = count as u32;
    }
}
