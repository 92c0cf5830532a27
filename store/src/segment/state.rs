//! The states of a segment.

use std::fmt;

/// Condition for segments whose rows are not read any more, and whose files may still be there: they have parts.
pub(super) const UNREMOVED: &str =
    "state IN ('pruned', 'merged') AND EXISTS (SELECT 1 FROM part WHERE segment = number)";

/// State of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The segment was found beside a new file. It is checked before its rows are read.
    Found,
    /// Files are being written.
    Sealing,
    /// Rows are read from the files.
    Sealed,
    /// A larger segment that is being written; rows are still read from the smaller ones.
    Merging,
    /// Rows are in a larger segment; the files were removed.
    Merged,
    /// Rows were removed to make room.
    Pruned,
}

impl State {
    /// All states that a segment can have.
    pub const ALL: [Self; 6] =
        [Self::Found, Self::Sealing, Self::Sealed, Self::Merging, Self::Merged, Self::Pruned];

    /// Returns the name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Sealing => "sealing",
            Self::Sealed => "sealed",
            Self::Merging => "merging",
            Self::Merged => "merged",
            Self::Pruned => "pruned",
        }
    }

    /// Returns the state of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
