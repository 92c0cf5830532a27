//! A SQLite file with duetector's schema, which duetector's DBAnalyzer reads unchanged. Our typed columns follow its columns. The
//! sink can have the role of the store; then accounts and positions are in tables of other names. Beside the columnar store it is an
//! additional output, which notes what rows it has copied.

mod config;
mod copied;
mod migrate;
mod schema;
mod trust;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

pub use super::database::Synchronous;
pub use config::SqliteConfig;
pub use store::bookkeeping::Run;

use actors::clock;
use model::lock::lock;
use model::schema::{COLUMNS, ColumnValue, stored_name, table_name};
use model::{Routed, Size, TracerName, Tracking, WallTime};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode};
use store::bookkeeping::{Bookkeeping, Now};

use super::database::config::Making;
use super::database::errors::is_bad_row;
use super::database::file::{self, Shared};
use super::database::{Database, NewFile};
use super::gate::Gate;
use super::kind::StoreRun;
use super::output_file::{OutputFile, Replaced};
use super::{Rejected, Sink, SinkError, TracerAccount, json};
use migrate::Migration;
use schema::Table;
use trust::Refusal;

/// Page size of a new file, in bytes. Each page written costs two system calls for the log and two more when it is
/// written back; with SQLite's default of 4 KiB these cost more than the rows.
const NEW_FILE: NewFile = NewFile { page_size: 16 << 10, can_shrink: false };
/// Sink that writes rows and accounts to the SQLite file.
pub struct Sqlite {
    database: Database,
    store: Option<Store>,
    extended: Vec<u8>,
    /// The run of the store that has the same rows; only if this sink is an additional output.
    copies: Option<StoreRun>,
}

/// An open database.
struct Store {
    connection: Connection,
    /// The files beside it, in the order of [`file::log_files`].
    logs: Vec<OutputFile>,
    migration: Migration,
    bookkeeping: Bookkeeping,
    /// Insert statements of the tables known to exist.
    inserts: HashMap<TracerName, String>,
}

impl Sqlite {
    /// Makes a sink that writes to `path` as `run`. The first call opens the file.
    pub fn new(path: PathBuf, synchronous: Synchronous, run: Run) -> Self {
        let shared = Shared::new(run, Gate::default());
        Self::of(path, Making { durability: (synchronous, Size(0)), shared, copies: None })
    }

    fn of(path: PathBuf, making: Making) -> Self {
        let database = Database::new(path, making.durability, NEW_FILE, making.shared);
        Self { database, store: None, extended: Vec::new(), copies: making.copies }
    }

    fn open(&self) -> Result<Store, SinkError> {
        let begin = |connection| {
            self.begin(connection).map_err(|refusal| match refusal {
                Refusal::Sqlite(source) => self.database.failed("opening", source),
                Refusal::Foreign(why) => self.database.refused(why),
            })
        };
        let (store, logs) = self.database.open(begin)?;
        Ok(Store { logs, ..store })
    }

    fn begin(&self, connection: Connection) -> Result<Store, Refusal> {
        let Shared { run, id, .. } = &self.database.shared;
        let transaction = connection.unchecked_transaction()?;
        let is_present = trust::check(&transaction)?;
        let (bookkeeping, new) = Bookkeeping::begin(&transaction, run, lock(id).as_deref())?;
        if self.copies.is_some() {
            copied::begin(&transaction)?;
        }
        let migration = if is_present { Migration::default() } else { Migration::begin(&transaction)? };
        if migration.is_done() {
            trust::mark(&transaction)?;
        }
        transaction.commit()?;
        *lock(id) = Some(new);
        Ok(Store { connection, logs: Vec::new(), migration, bookkeeping, inserts: HashMap::new() })
    }

    /// Gives some rows of a version before their `time`.
    fn migrate(&mut self) {
        let Some(store) = &mut self.store else { return };
        if let Err(cause) = store.migration.proceed(&store.connection) {
            // The file may be busy or the disk full: later calls go on.
            tracing::debug!(%cause, path = %self.database.path.display(), "rows of a version before wait for their time");
        }
    }

    /// Runs `work` in one transaction on the open file. After an error that may concern the file itself, the file is
    /// opened again by the next call.
    fn transact<T>(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&mut Store, &mut Vec<u8>) -> rusqlite::Result<T>,
    ) -> Result<T, SinkError> {
        self.check()?;
        let Some(mut store) = self.store.take() else {
            // `check` has just opened it.
            return Err(self.database.failed(operation, rusqlite::Error::InvalidQuery));
        };
        match in_transaction(&mut store, |store| work(store, &mut self.extended)) {
            Ok(done) => {
                self.store = Some(store);
                Ok(done)
            }
            Err(source) => {
                // Tables made in this transaction are gone with it.
                store.inserts.clear();
                store.bookkeeping.rolled_back();
                let keep = matches!(
                    source.sqlite_error_code(),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
                );
                self.store = keep.then_some(store);
                Err(self.database.failed(operation, source))
            }
        }
    }
}

fn in_transaction<T>(
    store: &mut Store,
    work: impl FnOnce(&mut Store) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // BEGIN IMMEDIATE: if the lock can't be taken, this shows before any work is done.
    store.connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = work(store).and_then(|done| {
        store.connection.execute_batch("COMMIT")?;
        Ok(done)
    });
    if done.is_err() && !store.connection.is_autocommit() {
        // SQLite did not roll back by itself. If this fails too, the file is opened again.
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

    fn damage(&self) -> Option<String> {
        self.database.damage()
    }

    fn refresh(&mut self) -> Option<Replaced> {
        if self.store.is_some() {
            self.database.check_in_background();
        }
        let gone = file::gone(&self.database.shared, self.store.as_ref().map_or(&[], |store| &store.logs));
        let Some(gone) = gone else {
            self.migrate();
            return None;
        };
        let open = self.store.take().map(|store| (store.connection, store.logs));
        Some(self.database.leave(open, gone))
    }

    fn write(&mut self, batches: &[Routed], accounts: &[TracerAccount]) -> Result<Vec<Rejected>, SinkError> {
        let of_store = self.copies.as_ref().and_then(|run| lock(run).clone());
        let rejected = self.transact("writing to", |store, extended| {
            let mut rejected = Vec::new();
            for (index, batch) in batches.iter().enumerate() {
                let bad = store.insert(batch, extended)?;
                let inserted = batch.rows.len() as u64 - bad.as_ref().map_or(0, |bad| bad.rows);
                if let Some(run) = &of_store {
                    store.note_copied(batch, inserted, run)?;
                }
                rejected.extend(bad.map(|bad| Rejected { batch: index, ..bad }));
            }
            let accounts = without(batches, accounts, &rejected);
            let now = Now { wall: clock::wall(), boot: clock::boot_ns(), clocks: &clock::clocks() };
            store.bookkeeping.write(&store.connection, &accounts, &now)?;
            Ok(rejected)
        })?;
        lock(&self.database.shared.written).add(batches, &rejected);
        Ok(rejected)
    }

    fn newest_id(&mut self, tracer: &str) -> Option<i64> {
        let Store { connection, bookkeeping, .. } = self.store.as_ref()?;
        let table = schema::quote(&table_name(tracer, &bookkeeping.run().collector_id));
        let mut newest = connection.prepare_cached(&format!("SELECT max(id) FROM {table}")).ok()?;
        newest.query_row([], |row| row.get(0)).ok()?
    }

    fn close(&mut self, accounts: &[TracerAccount], ended: WallTime) -> Result<(), SinkError> {
        // An additional output keeps none: the positions in pinned rings are in one file only.
        let accounts = if self.copies.is_some() { &[] } else { accounts };
        self.transact("closing", |store, _| {
            store.bookkeeping.end(&store.connection, accounts, ended, clock::boot_ns())
        })?;
        if let Some(store) = self.store.take() {
            // Closing the last connection writes the log back and removes it.
            store.connection.close().map_err(|(_, source)| self.database.failed("closing", source))?;
        }
        Ok(())
    }
}

/// Returns the accounts without the rejected rows.
fn without<'a>(
    batches: &[Routed],
    accounts: &'a [TracerAccount],
    rejected: &[Rejected],
) -> Cow<'a, [TracerAccount]> {
    let mut accounts = Cow::Borrowed(accounts);
    for bad in rejected {
        let claim = batches.get(bad.batch).and_then(|batch| batch.claim.as_ref());
        let Some(tracer) = claim.map(|claim| claim.account().tracer()) else { continue };
        if let Some(account) = accounts.to_mut().iter_mut().find(|account| account.tracer == *tracer) {
            account.refuse(bad.rows);
        }
    }
    accounts
}

impl Store {
    /// Inserts rows of one tracer. Rows that can't be stored are skipped and reported; any other error fails the
    /// transaction.
    fn insert(&mut self, batch: &Routed, extended: &mut Vec<u8>) -> rusqlite::Result<Option<Rejected>> {
        let Some(first) = batch.rows.first() else { return Ok(None) };
        if !self.inserts.contains_key(&first.tracer) {
            let (connection, tracer) = (&self.connection, first.tracer.as_str());
            let collector_id = &self.bookkeeping.run().collector_id;
            let Table { name, insert, lacked_time } = schema::ensure_table(connection, tracer, collector_id)?;
            if lacked_time {
                self.migration.add(name, collector_id);
            }
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

    /// Notes that the rows that were inserted last are also in the store, written by its run `run_id`.
    fn note_copied(&self, batch: &Routed, inserted: u64, run_id: &str) -> rusqlite::Result<()> {
        let Some(first) = batch.rows.first().filter(|_| inserted > 0) else { return Ok(()) };
        let collector_id = &self.bookkeeping.run().collector_id;
        let name = table_name(&stored_name(first.tracer.as_str()), collector_id);
        copied::note(&self.connection, &name, inserted as i64, run_id)
    }
}

/// Binds the values directly from the row, in the order of [`COLUMNS`], which is that of the statement.
fn insert_row(statement: &mut CachedStatement<'_>, row: &Tracking, extended: &[u8]) -> rusqlite::Result<()> {
    for (column, index) in COLUMNS.iter().zip(1..) {
        let mut bind = |value| statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value));
        match row.value(*column) {
            ColumnValue::Null => bind(ValueRef::Null),
            ColumnValue::Int(number) => bind(ValueRef::Integer(number)),
            ColumnValue::Text(text) => bind(ValueRef::Text(text.as_bytes())),
            ColumnValue::Zoned(at) => bind(ValueRef::Integer(at.utc_ns)),
            ColumnValue::Time(at) => bind(ValueRef::Text(&at.format())),
            ColumnValue::Extended(_) => bind(ValueRef::Text(extended)),
            value @ (ColumnValue::ExecId(_) | ColumnValue::Pids(_)) => {
                bind(ValueRef::Text(value.to_plain().unwrap_or_default().as_bytes()))
            }
        }?;
    }
    statement.raw_execute().map(|_| ())
}

#[cfg(test)]
mod tests;
