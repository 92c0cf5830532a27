//! The SQLite file of a sink: how it is opened, privately and distrusting what is in it, and what its sinks share over their
//! incarnations.

pub(crate) mod config;
pub(super) mod errors;
pub(super) mod file;
mod takeover;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::clock;
use model::Size;
use model::lock::lock;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use store::bookkeeping::Run;
use store::distrust;

use super::kind::BuildContext;
use super::output_file::{OutputFile, Replaced};
use super::{SinkError, private_file};
use errors::trouble;
use file::Shared;

/// Time that SQLite waits for another program that holds the file (Python duetector, `sqlite3`) before a call fails.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// Bytes in the write-ahead log before a checkpoint. With fewer, frequently changed pages are written back again and
/// again.
const CHECKPOINT_BYTES: u32 = 16 << 20;
/// Size to which the log is truncated after it grew while a long read was open, in bytes.
const LOG_LIMIT: u64 = 64 << 20;
/// Page cache in KiB; bounds memory.
const CACHE_KIB: i64 = 3 * 1024;
/// Number of cached statements: one insert statement per tracer, and those of the accounts.
const STATEMENTS_KEPT: usize = 128;

/// Durability of a commit (`synchronous`). With every value, committed rows survive a crash of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// After a power cut the file may be corrupt.
    Off,
    /// After a power cut the last rows may be missing; the file is consistent.
    #[default]
    Normal,
    /// After a power cut no committed row is missing.
    Full,
}

impl Synchronous {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Normal => "NORMAL",
            Self::Full => "FULL",
        }
    }
}

/// The SQLite file of a sink.
pub(super) struct Database {
    pub(super) path: PathBuf,
    pub(super) shared: Shared,
    synchronous: Synchronous,
    check_limit: Size,
    new_file: NewFile,
}

/// Properties that a new file gets.
#[derive(Clone, Copy)]
pub(super) struct NewFile {
    /// Page size in bytes.
    pub(super) page_size: u32,
    /// Whether free pages can be given back to the file system.
    pub(super) can_shrink: bool,
}

impl Database {
    pub(super) fn new(
        path: PathBuf,
        (synchronous, check_limit): (Synchronous, Size),
        new_file: NewFile,
        shared: Shared,
    ) -> Self {
        Self { path, shared, synchronous, check_limit, new_file }
    }

    /// Adds to an error of SQLite what was done with the file.
    pub(super) fn failed(&self, operation: &'static str, source: rusqlite::Error) -> SinkError {
        failed(operation, &self.path, source)
    }

    /// Returns the error that the file can't be used.
    pub(super) fn refused(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        let source = io::Error::new(io::ErrorKind::InvalidData, why);
        SinkError::io("opening", self.path.display(), source)
    }

    /// Opens the file, which `connected` then prepares. Also returns the files beside it, in the order of
    /// [`file::log_files`].
    pub(super) fn open<T>(
        &self,
        connected: impl FnOnce(Connection) -> Result<T, SinkError>,
    ) -> Result<(T, Vec<OutputFile>), SinkError> {
        let io = |source| SinkError::io("opening", self.path.display(), source);
        let path = private_file::prepare(&self.path).map_err(io)?;
        private_file::create(&path).map_err(io)?;
        // Nobody else may make files beside it: SQLite applies a log or a journal that it finds to the database.
        path.parent().map_or(Ok(()), private_file::check_folder).map_err(|cause| io(cause.into()))?;
        for beside in file::beside(&path) {
            private_file::check_if_there(&beside).map_err(io)?;
        }
        self.shared.access.open_file(&path).map_err(io)?;
        let connection = self.connect(&path).map_err(|source| self.failed("opening", source))?;
        let opened = connected(connection)?;
        // SQLite gives them the mode of the database, but only root can give them its group.
        let logs = file::log_files(&path);
        logs.iter().try_for_each(|log| self.shared.access.open_file(log)).map_err(io)?;
        let file = OutputFile::at(&path).map_err(io)?;
        let logs = logs.iter().map(|log| OutputFile::at(log)).collect::<Result<_, _>>();
        let logs = logs.map_err(io)?;
        lock(&self.shared.written).opened(file);
        Ok((opened, logs))
    }

    fn connect(&self, path: &Path) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        distrust::distrust(&connection)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let NewFile { page_size, can_shrink } = self.new_file;
        connection.pragma_update(None, "page_size", page_size)?;
        if can_shrink {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", self.synchronous.as_str())?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_BYTES / page_size)?;
        connection.pragma_update(None, "journal_size_limit", LOG_LIMIT as i64)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    }

    /// Looks for damage in the open file, once in a run, beside everything else.
    pub(super) fn check_in_background(&self) {
        file::check_in_background(&self.shared, &self.path, self.check_limit);
    }

    /// Returns the damage that was found.
    pub(super) fn damage(&self) -> Option<String> {
        lock(&self.shared.checked).damage.clone()
    }

    /// Leaves a file that is gone, if it is still open, and returns what happened.
    pub(super) fn leave(&self, open: Option<(Connection, Vec<OutputFile>)>, gone: file::Lost) -> Replaced {
        file::leave(&self.shared, open, gone)
    }
}

/// Returns what a sink shares with the one before it on the same file, or begins a run in a file that gets the id `known`, if it is
/// new.
fn shared(context: &BuildContext<'_>, known: impl FnOnce() -> Option<String>) -> Shared {
    context.before.get().unwrap_or_else(|| {
        let run = Run {
            run_id: format!("{:x}-{}", clock::unix_ns(), std::process::id()),
            collector_id: context.collector_id.to_owned(),
            started: clock::wall(),
        };
        let shared = Shared { access: context.access, ..Shared::new(run, context.gate.clone()) };
        *lock(&shared.id) = known();
        shared
    })
}

fn failed(operation: &'static str, path: &Path, source: rusqlite::Error) -> SinkError {
    let trouble = trouble(&source);
    SinkError { operation, object: path.display().to_string(), trouble, source: source.into() }
}
