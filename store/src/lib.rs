//! The store: rows of all tracers as typed Arrow batches in one SQLite file, with the bookkeeping of the runs that wrote them.
//! `docs/STORE.md` describes the file.
//!
//! ```text
//! rows ─► Rows (columns that grow) ─► batch, LZ4 ─┐
//! accounts, ring positions ───────────────────────┴─► one transaction of `store.sqlite3` ─► Batches ─► rows again
//! ```
//!
//! Code in this crate reads no clock and never waits, except for SQLite.

#![forbid(unsafe_code)]

pub mod access;
pub mod arrivals;
pub mod bookkeeping;
pub mod carry;
pub mod columns;
pub mod decode;
pub mod distrust;
pub mod error;
pub mod format;
pub mod import;
pub mod layout;
pub mod open;
pub mod read;
pub mod rows;
pub mod segment;
pub mod select;
pub mod settings;
pub mod sought;
pub mod typed;
pub mod write;

mod in_order;
mod ipc;
mod matching;
mod selected;

pub use bookkeeping::{PinnedCheckpoint, TracerAccount};
pub use decode::{BatchRows, Cell};
pub use error::Error;
pub use in_order::Wanted;
pub use read::{Batch, Reader, Stream, Totals};
pub use selected::{ReadCounts, Reads};
pub use sought::{Condition, Selection, Sought};
pub use write::Writer;
