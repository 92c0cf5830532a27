//! Destinations of rows. A sink only writes rows; its queue, batches, retries, accounts and restarts are the same for
//! all sinks and are in [`writer`].

pub mod database;
pub mod gate;
pub mod host;
pub mod json;
pub mod jsonl;
pub mod kind;
pub mod memory;
mod output_file;
mod private_file;
pub(crate) mod probe;
pub mod sqlite;
pub mod store;
pub mod writer;
mod written;

use std::fmt;
use std::io;

pub use ::store::{PinnedCheckpoint, TracerAccount};
use model::{Routed, WallTime};
pub use output_file::Replaced;
use thiserror::Error;

/// Kind of failure, which decides how the writer reacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The failure may pass soon, such as a locked file. The write is retried for a while.
    Transient,
    /// No room is left. Rows are lost until there is room again; waiting would only delay the sources.
    Full,
    /// A retry can't help: not a database, no permission.
    Permanent,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "temporary",
            Self::Full => "no room left",
            Self::Permanent => "permanent",
        })
    }
}

/// Error of a sink's operation.
#[derive(Debug, Error)]
#[error("{operation} {object}: {source}")]
pub struct SinkError {
    /// The operation that failed, as in `writing to`.
    pub operation: &'static str,
    /// The file or other object of the operation.
    pub object: String,
    /// Kind of failure.
    pub trouble: Trouble,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SinkError {
    /// Makes an error from a failed system call; its error code decides the kind of failure.
    pub fn io(operation: &'static str, object: impl fmt::Display, source: io::Error) -> Self {
        use io::ErrorKind::{Interrupted, OutOfMemory, ResourceBusy, StorageFull, TimedOut, WouldBlock};
        let trouble = match source.kind() {
            StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Trouble::Full,
            Interrupted | OutOfMemory | ResourceBusy | TimedOut | WouldBlock => Trouble::Transient,
            _ => Trouble::Permanent,
        };
        Self { operation, object: object.to_string(), trouble, source: source.into() }
    }
}

/// Rows of one batch that could not be written although the other rows could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Index of the batch in the slice given to [`Sink::write`].
    pub batch: usize,
    /// Number of rows rejected in the batch.
    pub rows: u64,
    /// Error of the first of these rows.
    pub cause: String,
}

/// A destination of rows. All calls come from one thread, one at a time; they may block.
///
/// The accounts follow the result of `write`: after `Ok` all rows count as stored except the rejected ones; after
/// `Err` none do. So a failed write must leave nothing behind.
pub trait Sink: Send + 'static {
    /// Checks that rows can be written, and opens the destination if needed.
    ///
    /// # Errors
    /// The destination can't be written.
    fn check(&mut self) -> Result<(), SinkError>;

    /// Checks whether the destination is still the one that was opened. If it was removed, moved or replaced, leaves it,
    /// so that the next call opens a new one, and returns what happened.
    fn refresh(&mut self) -> Option<Replaced> {
        None
    }

    /// Returns the damage that was found in what the destination held before.
    fn damage(&self) -> Option<String> {
        None
    }

    /// Writes all batches, and the accounts if this sink is the store, or nothing. The store is also called when only
    /// accounts have changed; other sinks are given none.
    ///
    /// # Errors
    /// Nothing was written.
    fn write(&mut self, batches: &[Routed], accounts: &[TracerAccount]) -> Result<Vec<Rejected>, SinkError>;

    /// Writes the run's final accounts and closes the destination. No other call follows.
    ///
    /// # Errors
    /// The accounts could not be written, or written rows may not be durable.
    fn close(&mut self, accounts: &[TracerAccount], ended: WallTime) -> Result<(), SinkError>;
}
