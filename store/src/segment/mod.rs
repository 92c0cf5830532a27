//! Segments: sealed rows as Parquet files beside the store's file, a folder each.
//!
//! ```text
//! batches ─► in order of time ─► one file a tracer ─► segment.json ─► renamed ─► marked as sealed ─► batches deleted
//!   closed to the writer          temporary folder      synced                   one transaction      in pieces
//! ```
//!
//! Whatever ends the process between two steps: the next one does the step again. Until a segment is marked, its rows are
//! read from the batches, and from then on from the segment.

mod file;
mod folder;
mod manifest;
mod merge;
mod notes;
mod order;
mod retention;
mod seal;
mod status;
mod unit;
mod verify;

pub use folder::{Folder, MANIFEST, SEGMENTS};
pub use manifest::{Manifest, ManifestFile};
pub use notes::{Damage, Moment, Removed};
pub use retention::{Limits, Pruned, Room};
pub use seal::{Sealed, Sealer};
pub use status::{SegmentStatus, Unsealed, has_unfinished, list, oldest, unsealed};
pub use unit::Sought;
pub(crate) use unit::{SealedFiles, Unit};
pub use verify::{Finding, verify};

use std::fmt;

/// State of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its files are being written.
    Sealing,
    /// Its rows are read from its files.
    Sealed,
    /// It is written from smaller segments, whose rows are read from there.
    Merging,
    /// Its rows are in a larger segment; its files were removed.
    Merged,
    /// Its rows were removed to make room.
    Pruned,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Sealing, Self::Sealed, Self::Merging, Self::Merged, Self::Pruned];

    /// Returns the name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
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
