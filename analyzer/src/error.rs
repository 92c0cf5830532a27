//! What can go wrong when a store is asked.

use std::path::PathBuf;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such file.
    #[error("no store at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file can't be opened or read as a store.
    #[error("open store {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file can't be reached at all.
    #[error("look at store {}", path.display())]
    Reach {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Reading failed under way.
    #[error("read store ({what})")]
    Read {
        /// What was being read.
        what: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Neither a column nor a field of any row.
    #[error("unknown column {name:?}{}", suggest(nearest))]
    UnknownColumn {
        /// As asked.
        name: String,
        /// The known name most like it.
        nearest: Option<String>,
    },
    /// A value that the column can't be compared with.
    #[error("column {column}: expected {expected}, found {found:?}")]
    BadValue {
        /// The column.
        column: String,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Not of the form `column=value`.
    #[error("expected column=value, found {found:?}")]
    BadCondition {
        /// What was given.
        found: String,
    },
    /// No moment in time.
    #[error(
        "expected a time (2026-01-31, 2026-01-31 12:00:05.25, 2026-01-31T12:00:05Z, -10m, \"1h ago\", now), \
         found {found:?}"
    )]
    BadTime {
        /// What was given.
        found: String,
    },
    /// Distinct rows can only be ordered by what they show.
    #[error("distinct rows can only be ordered by a column they show, and {column:?} is none")]
    HiddenOrder {
        /// The column asked for.
        column: String,
    },
}

impl Error {
    /// The question was wrong, not the store.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Open { .. } | Self::Reach { .. } | Self::Read { .. } => false,
            Self::UnknownColumn { .. }
            | Self::BadValue { .. }
            | Self::BadCondition { .. }
            | Self::BadTime { .. }
            | Self::HiddenOrder { .. } => true,
        }
    }
}

fn suggest(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// Gives a SQLite error its place.
pub(crate) fn reading(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Read { what, source }
}
