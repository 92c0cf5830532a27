//! The store: a SQLite file with duetector's schema, which its DBAnalyzer reads unchanged. Our typed columns follow
//! after its own; our bookkeeping is in tables of other names.

mod accounts;
mod positions;
mod schema;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

pub use positions::remembered;

use actors::clock;
use model::{Routed, TracerName, Tracking, WallTime};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, ffi};

use super::{Book, Rejected, Sink, SinkError, Trouble, json, private_file};
use crate::config::Synchronous;

/// Its name.
pub const NAME: &str = "sqlite";

/// How long SQLite itself waits for a reader that holds the file (Python duetector, `sqlite3`) before it tells us.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// Bytes of a page of a new file. Each page written costs two system calls for the log and two more when it is written
/// back: with SQLite's own 4 KiB they cost more than the rows.
const PAGE_SIZE: u32 = 16 << 10;
/// Pages in the write-ahead log before it is written back: with fewer, hot pages are written back again and again.
const CHECKPOINT_PAGES: u32 = 1000;
/// A log that grew beyond this while somebody read the file for long is cut back.
const LOG_LIMIT: u64 = 64 << 20;
/// Page cache, KiB: bounds memory.
const CACHE_KIB: i64 = 8 * 1024;
/// One insert statement a tracer, and those of the accounts.
const STATEMENTS_KEPT: usize = 128;

/// What identifies this run in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Unlike any other run's.
    pub run_id: String,
    /// Under which rows are stored.
    pub collector_id: String,
    /// Local wall time of its start.
    pub started: WallTime,
}

/// The sink.
pub struct Sqlite {
    path: PathBuf,
    synchronous: Synchronous,
    run: Run,
    store: Option<Store>,
    extended: Vec<u8>,
}

/// An open file.
struct Store {
    connection: Connection,
    /// Insert statements of the tables that are there.
    inserts: HashMap<TracerName, String>,
}

impl Sqlite {
    /// Into `path`, as `run`. Opened by the first call.
    pub fn new(path: PathBuf, synchronous: Synchronous, run: Run) -> Self {
        Self { path, synchronous, run, store: None, extended: Vec::new() }
    }

    fn failed(&self, operation: &'static str, source: rusqlite::Error) -> SinkError {
        SinkError {
            operation,
            object: self.path.display().to_string(),
            trouble: trouble(&source),
            source: source.into(),
        }
    }

    fn open(&self) -> Result<Store, SinkError> {
        let path = private_file::prepare(&self.path)
            .and_then(|path| private_file::open(&path).map(|_| path))
            .map_err(|source| SinkError::io("opening", self.path.display(), source))?;
        self.connect(&path).map_err(|source| self.failed("opening", source))
    }

    fn connect(&self, path: &std::path::Path) -> rusqlite::Result<Store> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        connection.pragma_update(None, "page_size", PAGE_SIZE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", self.synchronous.as_str())?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_LIMIT as i64)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let transaction = connection.unchecked_transaction()?;
        positions::begin(&transaction, &self.run)?;
        accounts::begin(&transaction, &self.run)?;
        transaction.commit()?;
        Ok(Store { connection, inserts: HashMap::new() })
    }

    /// Runs `work` in one transaction on the open file. After a failure that says something of the file itself, it
    /// is opened anew the next time.
    fn transact<T>(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&mut Store, &Run, &mut Vec<u8>) -> rusqlite::Result<T>,
    ) -> Result<T, SinkError> {
        self.check()?;
        let Some(mut store) = self.store.take() else {
            // `check` has just opened it.
            return Err(self.failed(operation, rusqlite::Error::InvalidQuery));
        };
        match in_transaction(&mut store, |store| work(store, &self.run, &mut self.extended)) {
            Ok(done) => {
                self.store = Some(store);
                Ok(done)
            }
            Err(source) => {
                // Tables made in this transaction are gone with it.
                store.inserts.clear();
                let keep = matches!(
                    source.sqlite_error_code(),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
                );
                self.store = keep.then_some(store);
                Err(self.failed(operation, source))
            }
        }
    }
}

fn in_transaction<T>(
    store: &mut Store,
    work: impl FnOnce(&mut Store) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // Immediate: a lock that can't be had shows here, before any work.
    store.connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = work(store).and_then(|done| {
        store.connection.execute_batch("COMMIT")?;
        Ok(done)
    });
    if done.is_err() && !store.connection.is_autocommit() {
        // What SQLite did not roll back by itself. If this fails too, the file is opened anew.
        let _ = store.connection.execute_batch("ROLLBACK");
    }
    done
}

impl Sink for Sqlite {
    fn check(&mut self) -> Result<(), SinkError> {
        if self.store.is_none() {
            self.store = Some(self.open()?);
        }
        Ok(())
    }

    fn write(&mut self, batches: &[Routed], books: &[Book]) -> Result<Vec<Rejected>, SinkError> {
        self.transact("writing to", |store, run, extended| {
            let mut rejected = Vec::new();
            for (index, batch) in batches.iter().enumerate() {
                if let Some(bad) = store.insert(batch, &run.collector_id, extended)? {
                    rejected.push(Rejected { batch: index, ..bad });
                }
            }
            let books = without(batches, books, &rejected);
            accounts::write(&store.connection, &run.run_id, &books)?;
            positions::write(&store.connection, run, &books, clock::boot_ns())?;
            Ok(rejected)
        })
    }

    fn close(&mut self, books: &[Book], ended: WallTime) -> Result<(), SinkError> {
        self.transact("closing", |store, run, _| {
            accounts::write(&store.connection, &run.run_id, books)?;
            positions::write(&store.connection, run, books, clock::boot_ns())?;
            accounts::end(&store.connection, &run.run_id, ended)
        })?;
        if let Some(store) = self.store.take() {
            // The last connection writes the log back and removes it.
            store.connection.close().map_err(|(_, source)| self.failed("closing", source))?;
        }
        Ok(())
    }

    fn keeps_books(&self) -> bool {
        true
    }
}

/// The accounts without the rows that were refused.
fn without<'a>(batches: &[Routed], books: &'a [Book], rejected: &[Rejected]) -> Cow<'a, [Book]> {
    let mut books = Cow::Borrowed(books);
    for bad in rejected {
        let claim = batches.get(bad.batch).and_then(|batch| batch.claim.as_ref());
        let Some(tracer) = claim.map(|claim| claim.account().tracer()) else { continue };
        if let Some(book) = books.to_mut().iter_mut().find(|book| book.tracer == *tracer) {
            book.refuse(bad.rows);
        }
    }
    books
}

impl Store {
    /// Inserts rows of one tracer. Bad ones are left out, and told; anything else that fails fails the transaction.
    fn insert(
        &mut self,
        batch: &Routed,
        collector_id: &str,
        extended: &mut Vec<u8>,
    ) -> rusqlite::Result<Option<Rejected>> {
        let Some(first) = batch.rows.first() else { return Ok(None) };
        if !self.inserts.contains_key(&first.tracer) {
            let insert = schema::ensure_table(&self.connection, first.tracer.as_str(), collector_id)?;
            self.inserts.insert(first.tracer.clone(), insert);
        }
        let mut statement = self.connection.prepare_cached(&self.inserts[&first.tracer])?;
        let mut bad: Option<Rejected> = None;
        for row in &*batch.rows {
            let cause = match json::write_python_style(extended, &row.extended) {
                Err(cause) => cause.to_string(),
                Ok(()) => match insert_row(&mut statement, row, extended) {
                    Ok(()) => continue,
                    Err(error) if is_bad_row(&error) => error.to_string(),
                    Err(error) => return Err(error),
                },
            };
            bad.get_or_insert(Rejected { batch: 0, rows: 0, cause }).rows += 1;
        }
        Ok(bad)
    }
}

/// Binds straight from the row, in the order of [`model::schema::COLUMNS`].
fn insert_row(statement: &mut CachedStatement<'_>, row: &Tracking, extended: &[u8]) -> rusqlite::Result<()> {
    let dt = row.dt.map(WallTime::format);
    let exec_id = row.exec_id.map(|id| id.to_string());
    let values = [
        integer(row.pid),
        integer(row.uid),
        integer(row.gid),
        text(dt.as_ref().map(<[u8; 26]>::as_slice)),
        text(row.comm.as_ref().map(|text| text.as_str().as_bytes())),
        text(row.cwd.as_ref().map(|text| text.as_str().as_bytes())),
        text(row.fname.as_ref().map(|text| text.as_str().as_bytes())),
        text(Some(extended)),
        integer(row.tid),
        integer(row.ppid),
        text(exec_id.as_ref().map(|id| id.as_bytes())),
        text(row.exe.as_ref().map(|text| text.as_str().as_bytes())),
        text(row.container_id.as_ref().map(|id| id.as_bytes())),
        integer(row.ret),
        integer(row.count),
    ];
    for (index, value) in values.into_iter().enumerate() {
        statement.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(value))?;
    }
    statement.raw_execute().map(|_| ())
}

fn integer(value: Option<i64>) -> ValueRef<'static> {
    value.map_or(ValueRef::Null, ValueRef::Integer)
}

fn text(value: Option<&[u8]>) -> ValueRef<'_> {
    value.map_or(ValueRef::Null, ValueRef::Text)
}

/// Whether it is this row that can't be stored, rather than any.
fn is_bad_row(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::TooBig
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::ParameterOutOfRange
        )
    )
}

fn trouble(error: &rusqlite::Error) -> Trouble {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::Full,
        // The log's index can't grow: in practice, no room.
        _ if matches!(extended, Some(ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_WRITE)) => Trouble::Full,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory
            | ErrorCode::SchemaChanged
            | ErrorCode::SystemIoFailure,
        ) => Trouble::Transient,
        _ => Trouble::Permanent,
    }
}

#[cfg(test)]
mod tests;
