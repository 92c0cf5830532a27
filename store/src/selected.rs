//! How batches were read, and whether they have the rows that they should have.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use model::schema::ArrowType;

use crate::layout::{OTHER, data_type};

/// Counts how batches were read, from all threads.
#[derive(Debug, Default)]
pub struct Reads {
    skipped: AtomicU64,
    tested: AtomicU64,
    read: AtomicU64,
}

/// Numbers of batches and row groups, by how they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Number of those of which no column was read, because statistics or bloom filters say that no row is selected.
    pub skipped: u64,
    /// Number of those of which only the columns to test were read: no row is selected.
    pub tested: u64,
    /// Number of those of which rows were read.
    pub read: u64,
}

impl Reads {
    pub(crate) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Skipped => &self.skipped,
            Outcome::Tested => &self.tested,
            Outcome::Read => &self.read,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the numbers until now.
    pub fn counts(&self) -> ReadCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts { skipped: of(&self.skipped), tested: of(&self.tested), read: of(&self.read) }
    }
}

/// How a batch was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Skipped,
    Tested,
    Read,
}

/// How a batch was read, and its rows, unless none is selected.
pub(crate) type Selected = (Outcome, Option<RecordBatch>);

/// Returns the batch, or an error if it has not as many rows as it should, or its column of other fields is not a map.
pub(crate) fn checked(read: RecordBatch, rows: i64) -> Result<RecordBatch, ArrowError> {
    if read.column_by_name(OTHER).is_some_and(|other| *other.data_type() != data_type(ArrowType::Struct)) {
        let cause = "its layout is damaged: the last column is not a map";
        return Err(ArrowError::IpcError(cause.to_owned()));
    }
    if read.num_rows() as i64 == rows {
        return Ok(read);
    }
    Err(ArrowError::IpcError(format!("it has {} rows and not {rows}", read.num_rows())))
}
