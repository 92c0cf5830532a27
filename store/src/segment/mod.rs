//! Segments: sealed rows as Parquet files beside the store's file, a folder each.
//!
//! ```text
//! batches ─► in order of time ─► one file a tracer ─► segment.json ─► renamed ─► marked as sealed ─► batches deleted
//!   closed to the writer          temporary folder      synced                   one transaction      in pieces
//! ```
//!
//! Whatever ends the process between two steps: the next one does the step again. Until a segment is marked, its rows are
//! read from the batches, and from then on from the segment.

mod adopt;
mod at_once;
mod begun;
mod derived;
mod file;
mod files;
mod folder;
mod found;
mod manifest;
mod merge;
mod narrow;
mod notes;
mod order;
mod retention;
mod seal;
mod state;
mod status;
mod unit;
mod verify;

pub use adopt::Adopted;
pub use derived::manifest_hash;
pub use files::file_stem;
pub use folder::{Folder, Lock, MANIFEST, SEGMENTS};
pub use found::Found;
pub use manifest::{Manifest, ManifestFile};
pub use notes::{Damage, Moment, Removed};
pub use retention::{Limits, Pruned, Room};
pub use seal::{Sealed, Sealer};
pub use state::State;
pub use status::{SegmentStatus, Unsealed, has_unfinished, list, oldest, strangers, unsealed};
pub(crate) use unit::{SealedFiles, Unit};
pub use verify::{Finding, verify};
