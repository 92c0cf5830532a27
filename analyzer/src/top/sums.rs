//! Sums, and the things that they are kept for: files, processes, users, peers.

use serde::Serialize;

/// The four tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Files, by identity.
    Files,
    /// Processes, by `exec_id`.
    Processes,
    /// Users, by effective user id.
    Users,
    /// Addresses at the other end of connections and datagrams.
    Peers,
}

impl Kind {
    /// All tables, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Files, Self::Processes, Self::Users, Self::Peers];

    /// Returns the name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Users => "users",
            Self::Peers => "peers",
        }
    }

    /// Returns the position in [`Self::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Files => 0,
            Self::Processes => 1,
            Self::Users => 2,
            Self::Peers => 3,
        }
    }
}

/// The thing that a line of a table is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A file: device, inode number, generation.
    File(u64, u64, u64),
    /// A path at which there was no file, or whose file is not known.
    Path(Box<str>),
    /// A process, by `exec_id`.
    Process(Box<str>),
    /// A user, by effective user id.
    User(i64),
    /// An address with its port.
    Peer(Box<str>),
}

impl Key {
    /// Returns the key as text: `id:DEV:INO:GENERATION` for a file, as commands take it.
    pub fn text(&self) -> String {
        match self {
            Self::File(dev, ino, generation) => format!("id:{dev}:{ino}:{generation}"),
            Self::Path(text) | Self::Process(text) | Self::Peer(text) => text.to_string(),
            Self::User(uid) => uid.to_string(),
        }
    }
}

/// Sums over some seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Bytes read from files or received from sockets.
    pub bytes_read: u64,
    /// Bytes written to files or sent to sockets.
    pub bytes_written: u64,
    /// Bytes of mappings.
    pub bytes_mapped: u64,
    /// Calls that read, wrote or mapped.
    pub calls: u64,
    /// Rows of tracer `open`.
    pub opens: u64,
    /// Rows of all tracers.
    pub rows: u64,
}

/// The order of a table's lines: largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By all bytes together, then by rows.
    #[default]
    Bytes,
    /// By bytes read.
    Read,
    /// By bytes written.
    Written,
    /// By rows of tracer `open`.
    Opens,
    /// By rows of all tracers.
    Rows,
}

impl Sort {
    /// All orders, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Bytes, Self::Read, Self::Written, Self::Opens, Self::Rows];

    /// Returns the name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Read => "read",
            Self::Written => "written",
            Self::Opens => "opens",
            Self::Rows => "rows",
        }
    }
}

impl Sums {
    /// Returns all bytes together.
    pub fn bytes(&self) -> u64 {
        self.bytes_read.saturating_add(self.bytes_written).saturating_add(self.bytes_mapped)
    }

    /// Adds the sums of other rows.
    pub fn add(&mut self, other: &Self) {
        self.each(other, u64::saturating_add);
    }

    /// Takes away what was added before.
    pub(super) fn take_away(&mut self, other: &Self) {
        self.each(other, u64::saturating_sub);
    }

    /// Returns what lines are ordered by.
    pub(super) fn rank(&self, sort: Sort) -> (u64, u64) {
        let first = match sort {
            Sort::Bytes => self.bytes(),
            Sort::Read => self.bytes_read,
            Sort::Written => self.bytes_written,
            Sort::Opens => self.opens,
            Sort::Rows => self.rows,
        };
        (first, self.rows)
    }

    fn each(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        let Self { bytes_read, bytes_written, bytes_mapped, calls, opens, rows } = other;
        self.bytes_read = with(self.bytes_read, *bytes_read);
        self.bytes_written = with(self.bytes_written, *bytes_written);
        self.bytes_mapped = with(self.bytes_mapped, *bytes_mapped);
        self.calls = with(self.calls, *calls);
        self.opens = with(self.opens, *opens);
        self.rows = with(self.rows, *rows);
    }
}
