//! Errors of the store.

use std::io;
use std::path::{Path, PathBuf};

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

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
    /// The rows of the file can't be brought into a store.
    #[error("{0}")]
    NotToImport(String),
    /// A batch can't be encoded.
    #[error("encode a batch of tracer {tracer}")]
    Encode {
        /// Tracer of the rows.
        tracer: String,
        /// The error that Arrow returned.
        #[source]
        source: ArrowError,
    },
    /// Stored rows can't be decoded.
    #[error("decode {what}")]
    Decode {
        /// The batch, or the row group of a sealed file.
        what: String,
        /// The reason, as Arrow states it.
        #[source]
        source: ArrowError,
    },
    /// A file of a segment can't be written.
    #[error("write {}", path.display())]
    WriteFile {
        /// Path of the file.
        path: PathBuf,
        /// The error that the Parquet writer returned.
        #[source]
        source: ParquetError,
    },
    /// A file or folder can't be read, made, moved or removed.
    #[error("{operation} {}", path.display())]
    Io {
        /// Operation that failed.
        operation: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Another process works on the segments.
    #[error("another process is sealing or removing segments of this store: try again when it has ended")]
    Busy,
}

impl Error {
    /// Returns a conversion of a system's error.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// Returns whether the reason is that the disk, or the user's share of it, is full.
    pub fn is_full(&self) -> bool {
        let full = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        match self {
            Self::Sqlite(source) => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Io { source, .. } => full(source),
            Self::WriteFile { source: ParquetError::External(source), .. } => {
                source.downcast_ref::<io::Error>().is_some_and(full)
            }
            Self::Version { .. }
            | Self::Foreign(_)
            | Self::NotToImport(_)
            | Self::Encode { .. }
            | Self::Decode { .. } => false,
            Self::WriteFile { .. } | Self::Busy => false,
        }
    }
}
