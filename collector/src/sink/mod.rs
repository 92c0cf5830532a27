//! Destinations. A sink writes rows; everything else about it (queue, batches, retries, accounts, restarts) is the
//! same for all and is in [`writer`].

pub mod host;
pub mod json;
pub mod jsonl;
pub mod memory;
mod private_file;
pub(crate) mod probe;
pub mod sqlite;
pub mod writer;

use std::fmt;
use std::io;

use model::{AccountSnapshot, Checkpoint, Pinned, Routed, TracerName, WallTime};
use thiserror::Error;

/// What kind of failure, which decides what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass by itself, soon: a locked file. Tried again for a while.
    Transient,
    /// There is no room. Rows are lost while it lasts; waiting would only hold the sources back.
    Full,
    /// Trying the same again is no use: not a database, no permission.
    Permanent,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "for now",
            Self::Full => "no room is left",
            Self::Permanent => "for good",
        })
    }
}

/// Why a sink could not do what it was asked.
#[derive(Debug, Error)]
#[error("{operation} {object}: {source}")]
pub struct SinkError {
    /// What it was about to do: `writing to`.
    pub operation: &'static str,
    /// With what.
    pub object: String,
    /// How it failed.
    pub trouble: Trouble,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SinkError {
    /// From a failed system call, whose number tells what kind of trouble it is.
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

/// Rows of one batch that could not be written though the others could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which batch of those given.
    pub batch: usize,
    /// How many of its rows.
    pub rows: u64,
    /// Why the first of them.
    pub cause: String,
}

/// A tracer's accounts with this sink, as they will be once what is being written is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// Whose.
    pub tracer: TracerName,
    /// The accounts.
    pub snapshot: AccountSnapshot,
    /// How far its ring will be settled, if that outlives the agent.
    pub mark: Option<Mark>,
}

/// How far a tracer's ring is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which rings, and whether a predecessor made them.
    pub pinned: Pinned,
    /// How far.
    pub point: Checkpoint,
}

impl Book {
    /// So many rows that were counted as stored were refused.
    pub fn refuse(&mut self, rows: u64) {
        let settled = self.mark.as_mut().map(|mark| &mut mark.point.settled);
        let counts = settled.map(|settled| (&mut settled.stored, &mut settled.lost.sink));
        for (stored, lost) in
            counts.into_iter().chain([(&mut self.snapshot.stored, &mut self.snapshot.lost.sink)])
        {
            *stored = stored.saturating_sub(rows);
            *lost += rows;
        }
    }
}

/// A destination of rows. Called from one thread, one call at a time; calls may block.
///
/// What `write` says is what is booked: rows of an `Ok` are stored (but for the rejected ones), rows of an `Err` are
/// not, none of them. So a failed write must leave nothing behind.
pub trait Sink: Send + 'static {
    /// Makes sure that rows can be written, in the way they will be.
    ///
    /// # Errors
    /// When they can't.
    fn check(&mut self) -> Result<(), SinkError>;

    /// Writes all batches, and the accounts where this sink keeps them, or nothing.
    ///
    /// # Errors
    /// When nothing was written.
    fn write(&mut self, batches: &[Routed], books: &[Book]) -> Result<Vec<Rejected>, SinkError>;

    /// Nothing follows: keeps the run's final accounts and lets go of everything.
    ///
    /// # Errors
    /// When the accounts could not be kept, or what was written may not last.
    fn close(&mut self, books: &[Book], ended: WallTime) -> Result<(), SinkError>;

    /// Whether it keeps accounts: then it is told of them while nothing else is to be written, too.
    fn keeps_books(&self) -> bool {
        false
    }
}

impl Sink for Box<dyn Sink> {
    fn check(&mut self) -> Result<(), SinkError> {
        (**self).check()
    }

    fn write(&mut self, batches: &[Routed], books: &[Book]) -> Result<Vec<Rejected>, SinkError> {
        (**self).write(batches, books)
    }

    fn close(&mut self, books: &[Book], ended: WallTime) -> Result<(), SinkError> {
        (**self).close(books, ended)
    }

    fn keeps_books(&self) -> bool {
        (**self).keeps_books()
    }
}
