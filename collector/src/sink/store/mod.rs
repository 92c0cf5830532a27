//! The columnar store: typed rows as Arrow batches in one SQLite file. The crate `store` has the format; this sink opens
//! the file and keeps it open.

mod config;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::store::bookkeeping::{Now, Run};
use ::store::import::prepare;
use ::store::segment::Found;
use ::store::{Error, Writer};
use actors::clock;
pub use config::StoreConfig;
use model::lock::lock;
use model::schema::stored_name;
use model::{Routed, Size, TracerName, WallTime};
use rusqlite::{Connection, ErrorCode};

use super::database::file::{self, Shared};
use super::database::{Database, NewFile, Synchronous};
use super::gate::Gate;
use super::output_file::{OutputFile, Replaced};
use super::{Rejected, Sink, SinkError, TracerAccount, Trouble};

/// Page size of a new file, in bytes. A batch fills pages of its own, and half of its last page is empty on average.
const NEW_FILE: NewFile = NewFile { page_size: 16 << 10, can_shrink: true };

/// Sink that writes rows and accounts to the store's file.
pub struct Store {
    database: Database,
    open: Option<Open>,
}

/// An open file.
struct Open {
    writer: Writer,
    /// The files beside it, in the order of [`file::log_files`].
    logs: Vec<OutputFile>,
}

/// Time for which an import waits for an agent that writes to the same file.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the store's file for an import, as the sink does; it is made if it is missing. An agent may have it open, too.
///
/// # Errors
/// The file can't be made or written, or others may write to it.
pub fn open_for_import(path: &Path) -> Result<Connection, SinkError> {
    let run = Run { run_id: String::new(), collector_id: String::new(), started: clock::wall() };
    let durability = (Synchronous::default(), Size(0));
    let database = Database::new(path.to_owned(), durability, NEW_FILE, Shared::new(run, Gate::default()));
    let (connection, _) = database.open(|connection| {
        prepare(&connection).map_err(|error| failed(&database, "opening", error))?;
        Ok(connection)
    })?;
    connection.busy_timeout(PATIENCE).map_err(|source| database.failed("opening", source))?;
    Ok(connection)
}

/// Adds to an error of the store what was done with the file.
fn failed(database: &Database, operation: &'static str, error: Error) -> SinkError {
    match error {
        Error::Sqlite(source) => database.failed(operation, source),
        other => SinkError {
            operation,
            object: database.path.display().to_string(),
            trouble: Trouble::Permanent,
            source: other.into(),
        },
    }
}

impl Store {
    /// Makes a sink that writes to `path` as `run`. The first call opens the file.
    pub fn new(path: PathBuf, synchronous: Synchronous, run: Run) -> Self {
        Self::of(path, (synchronous, Size(0)), Shared::new(run, Gate::default()))
    }

    fn of(path: PathBuf, durability: (Synchronous, Size), shared: Shared) -> Self {
        Self { database: Database::new(path, durability, NEW_FILE, shared), open: None }
    }

    fn open(&self) -> Result<Open, SinkError> {
        let Shared { run, id, .. } = &self.database.shared;
        let (writer, logs) = self.database.open(|connection| {
            let known = lock(id).clone();
            let (writer, new) = Writer::begin(connection, run, known.as_deref())
                .map_err(|error| self.failed("opening", error))?;
            *lock(id) = Some(new);
            Ok(writer)
        })?;
        Ok(Open { writer, logs })
    }

    /// Subtracts the rows that are in segments from those that are lost with a file: the next file goes on with the segments. `first`
    /// has the number of each tracer's first row of this run.
    fn keep_sealed(&self, lost: &mut BTreeMap<TracerName, u64>, first: &BTreeMap<TracerName, i64>) {
        if lost.is_empty() {
            return;
        }
        let Shared { run, id, .. } = &self.database.shared;
        let known = lock(id).clone();
        let found = match Found::beside(&self.database.path, known.as_deref()) {
            Ok(found) => found,
            Err(cause) => {
                tracing::error!(%cause, "the segments of the store can't be listed");
                return;
            }
        };
        // Tracers that are stored under one name share its rows.
        let mut left = BTreeMap::new();
        for (tracer, count) in lost.iter_mut() {
            let Some(first) = first.get(tracer) else { continue };
            let stored = stored_name(tracer.as_str());
            let sealed = found.rows(&stored, &run.collector_id, *first);
            let left = left.entry(stored).or_insert(sealed);
            let kept = (*left).min(*count);
            (*left, *count) = (*left - kept, *count - kept);
        }
        lost.retain(|_, count| *count > 0);
    }

    fn failed(&self, operation: &'static str, error: Error) -> SinkError {
        failed(&self.database, operation, error)
    }

    /// Works on the open file. After an error that may concern the file itself, the file is opened again by the next call.
    fn with_writer(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&mut Writer) -> Result<(), Error>,
    ) -> Result<(), SinkError> {
        self.check()?;
        let Some(mut open) = self.open.take() else {
            // `check` has just opened it.
            return Err(self.database.failed(operation, rusqlite::Error::InvalidQuery));
        };
        let done = work(&mut open.writer);
        let keep = match &done {
            Ok(()) => true,
            Err(Error::Sqlite(source)) => matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
            ),
            Err(_) => false,
        };
        self.open = keep.then_some(open);
        done.map_err(|error| self.failed(operation, error))
    }
}

impl Sink for Store {
    fn check(&mut self) -> Result<(), SinkError> {
        if self.open.is_none() {
            self.open = Some(self.open()?);
        }
        Ok(())
    }

    fn damage(&self) -> Option<String> {
        self.database.damage()
    }

    fn refresh(&mut self) -> Option<Replaced> {
        if self.open.is_some() {
            self.database.check_in_background();
        }
        let logs = self.open.as_ref().map_or(&[][..], |open| &open.logs);
        let gone = file::gone(&self.database.shared, logs)?;
        let open = self.open.take().map(|open| (open.writer.into_connection(), open.logs));
        let first = lock(&self.database.shared.written).first();
        let mut replaced = self.database.leave(open, gone);
        self.keep_sealed(&mut replaced.lost, &first);
        Some(replaced)
    }

    fn write(&mut self, batches: &[Routed], accounts: &[TracerAccount]) -> Result<Vec<Rejected>, SinkError> {
        if let Some(cause) = self.database.shared.gate.closed() {
            let object = self.database.path.display().to_string();
            return Err(SinkError {
                operation: "writing to",
                object,
                trouble: Trouble::Full,
                source: cause.into(),
            });
        }
        self.with_writer("writing to", |writer| {
            let now = Now { wall: clock::wall(), boot: clock::boot_ns(), clocks: &clock::clocks() };
            writer.write(batches, accounts, &now)
        })?;
        let mut written = lock(&self.database.shared.written);
        written.add(batches, &[]);
        let writer = self.open.as_ref().map(|open| &open.writer);
        written.note_first(batches, |tracer| writer?.newest_id(tracer));
        drop(written);
        Ok(Vec::new())
    }

    fn newest_id(&mut self, tracer: &str) -> Option<i64> {
        self.open.as_ref()?.writer.newest_id(tracer)
    }

    fn close(&mut self, accounts: &[TracerAccount], ended: WallTime) -> Result<(), SinkError> {
        self.with_writer("closing", |writer| writer.end(accounts, ended, clock::boot_ns()))?;
        if let Some(open) = self.open.take() {
            // Closing the last connection writes the log back and removes it.
            let closed = open.writer.into_connection().close();
            closed.map_err(|(_, source)| self.database.failed("closing", source))?;
        }
        Ok(())
    }
}
