//! Errors of opening and querying a store.

use std::path::PathBuf;

/// The reason why a query or summary failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No file has that path.
    #[error("no store at {}", path.display())]
    Missing {
        /// The path that was tried.
        path: PathBuf,
    },
    /// The file can't be opened or read as a store.
    #[error("open store {}", path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is a columnar store that this version can't read.
    #[error("open store {}", path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// The error of the crate `store`.
        #[source]
        source: store::Error,
    },
    /// Two files that are to be read together are of one kind.
    #[error("{} and {} can't be read together: one must be a columnar store and the other of duetector's layout", path.display(), other.display())]
    Two {
        /// Path of the first file.
        path: PathBuf,
        /// Path of the second file.
        other: PathBuf,
    },
    /// The file has rows in duetector's layout, which lack what the question needs.
    #[error("{} is of duetector's layout: this question needs a columnar store; `store import` makes one", path.display())]
    NotColumnar {
        /// Path of the file.
        path: PathBuf,
    },
    /// Files of flows beside segments could be read at first, and then not any more.
    #[error(
        "read lineage.edges beside a segment: it could be read before; `store verify` checks the disk's files"
    )]
    EdgeFile,
    /// The file's folder can't be searched.
    #[error("access store {}", path.display())]
    Reach {
        /// Path of the file.
        path: PathBuf,
        /// The error of the system call.
        #[source]
        source: std::io::Error,
    },
    /// Reading from the open file failed.
    #[error("read store ({what})")]
    Read {
        /// The part of the store that was being read.
        what: &'static str,
        /// The error of SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// A name is neither a column nor a field of any row.
    #[error("unknown column {name:?}{}", suggest(nearest))]
    UnknownColumn {
        /// The unknown name.
        name: String,
        /// The known name that is spelled most like it.
        nearest: Option<String>,
    },
    /// A value has another type than the column it is compared with.
    #[error("column {column}: expected {expected}, found {found:?}")]
    BadValue {
        /// Name of the column.
        column: String,
        /// The type of value that the column takes.
        expected: &'static str,
        /// The value that was given.
        found: String,
    },
    /// A condition is not of the form `column=value`.
    #[error("expected column=value, found {found:?}")]
    BadCondition {
        /// The text that was given.
        found: String,
    },
    /// A text is not a moment in time.
    #[error(
        "expected a time (2026-01-31, 2026-01-31 12:00:05.25, 2026-01-31T12:00:05Z, -10m, \"1h ago\", now), \
         found {found:?}"
    )]
    BadTime {
        /// The text that was given.
        found: String,
    },
    /// A text is not a target of a question.
    #[error(
        "{found:?} is no target: {cause}; a target is a path, folder/, a pattern such as '/data/*.csv', id:DEV:INO[:GENERATION], \
         label:NAME, or a process: pid:PID, exec:EXEC_ID, comm:NAME"
    )]
    BadTarget {
        /// The text that was given.
        found: String,
        /// The reason why it is refused.
        cause: String,
    },
    /// A subject of a question is of another kind than the question.
    #[error("{found} is {cause}")]
    OtherSubject {
        /// The subject as it was named.
        found: String,
        /// Description of what it is, and of the command that is about it.
        cause: String,
    },
    /// Distinct rows are ordered by a column that is not among those shown.
    #[error(
        "distinct rows can only be ordered by columns that are printed, and {column:?} is not one of them"
    )]
    HiddenOrder {
        /// Name of that column.
        column: String,
    },
    /// A statement of SQL is wrong.
    #[error("{cause}{}{mark}", suggest(nearest))]
    Statement {
        /// The message of SQLite.
        cause: String,
        /// The line that it is about with a mark below, each on a line of its own; empty, if that is not known.
        mark: String,
        /// The known name that is spelled most like an unknown one.
        nearest: Option<String>,
    },
    /// A statement of SQL would do more than read.
    #[error("only SELECT can be run, because the store is read only: {what} is refused")]
    Refused {
        /// A short name of the change.
        what: String,
    },
    /// There is more than one statement of SQL.
    #[error(
        "expected one statement of SQL, found several: run them one by one, or join them with WITH or UNION ALL"
    )]
    Several,
    /// There is no statement of SQL.
    #[error("expected a statement of SQL, found none")]
    NoStatement,
    /// A query was stopped by the user.
    #[error("stopped before the end")]
    Stopped,
    /// A query took longer than it may.
    #[error(
        "stopped, because it has taken {limit}: raise the limit with --timeout, or ask for less (conditions on time \
         leave out what need not be read)"
    )]
    TimeLimit {
        /// The time that it may take.
        limit: String,
    },
    /// A query needs more memory than it may take.
    #[error(
        "stopped, because it needs more than {limit} of memory: raise the limit with --memory, or ask for less"
    )]
    MemoryLimit {
        /// The memory that it may take.
        limit: String,
    },
}

impl Error {
    /// True if the query was wrong, not the store.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Open { .. }
            | Self::Format { .. }
            | Self::Two { .. }
            | Self::NotColumnar { .. }
            | Self::EdgeFile
            | Self::Reach { .. }
            | Self::Read { .. }
            | Self::Stopped
            | Self::TimeLimit { .. }
            | Self::MemoryLimit { .. } => false,
            Self::UnknownColumn { .. }
            | Self::BadValue { .. }
            | Self::BadCondition { .. }
            | Self::BadTime { .. }
            | Self::BadTarget { .. }
            | Self::OtherSubject { .. }
            | Self::HiddenOrder { .. }
            | Self::Statement { .. }
            | Self::Refused { .. }
            | Self::Several
            | Self::NoStatement => true,
        }
    }
}

fn suggest(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// Adds to a SQLite error what was being read.
pub(crate) fn reading(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Read { what, source }
}

/// Returns the known name that is spelled most like `name`.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known.min_by_key(|known| strsim::damerau_levenshtein(known, name)).map(str::to_owned)
}
