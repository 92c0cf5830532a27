//! Errors of the store.

use arrow_schema::ArrowError;

/// The reason why the store can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite's own error.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The file has a format that this version does not know.
    #[error(
        "it was made by a later version of duetector-actors (format {found}, this version knows {known}): \
         use that version, or move the file away, then a new one is made"
    )]
    Version {
        /// The format of the file.
        found: i64,
        /// The latest format that this version knows.
        known: i64,
    },
    /// The file is another program's, or another program has changed its tables.
    #[error("{0}: move the file away, then a new one is made")]
    Foreign(String),
    /// A batch can't be encoded.
    #[error("encode a batch of tracer {tracer}")]
    Encode {
        /// Tracer of the rows.
        tracer: String,
        /// The error that Arrow returned.
        #[source]
        source: ArrowError,
    },
    /// A stored batch can't be decoded.
    #[error("decode batch {number}")]
    Decode {
        /// Number of the batch.
        number: i64,
        /// The error that Arrow returned.
        #[source]
        source: ArrowError,
    },
}
