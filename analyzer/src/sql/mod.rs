//! SQL on a store: a table for each tracer with typed columns, and views over all of them. `docs/SQL.md` describes them.
//!
//! ```text
//! Store ─► tables (virtual, or views of duetector's layout) ─► views ─► guard ─► SELECT … ─► Answer
//! ```

mod describe;
mod functions;
mod guard;
mod meter;
mod tables;
mod views;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use meter::Meter;
use model::Size;

use self::tables::Described;
use crate::error::reading;
use crate::rows::Answer;
use crate::{Error, Store};

/// The bounds of a query.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Longest time that it may take, without the time in which its rows are printed.
    pub timeout: Option<Duration>,
    /// Most memory that SQLite may take, in this process.
    pub memory: Option<u64>,
    /// Folder for what does not fit into memory. Without one, or if it can't be written, SQLite takes the system's folder for
    /// temporary files. Like `memory`, it applies to the whole process.
    pub spill: Option<PathBuf>,
}

/// A store that SQL can be run on. All queries see the same moment: that in which it was opened.
#[derive(Debug)]
pub struct Sql {
    store: Store,
    limits: Limits,
    described: Vec<Described>,
    guard: guard::Guard,
}

impl Sql {
    /// Prepares the tables and views, and begins the transaction that all queries read in.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn new(mut store: Store, limits: Limits) -> Result<Self, Error> {
        let meter = Arc::new(Meter::new(limits.timeout));
        let failed = reading("tables for SQL");
        let described = prepare(&store, &limits, &meter).map_err(failed)?;
        let guard = guard::Guard::set(store.connection_mut(), &meter).map_err(reading("bounds of SQL"))?;
        Ok(Self { store, limits, described, guard })
    }

    /// Returns what watches the queries, and can stop them.
    pub fn meter(&self) -> Arc<Meter> {
        self.guard.meter().clone()
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Prepares a statement, which must be a single SELECT.
    ///
    /// # Errors
    /// The statement is wrong or would change something ([`Error::is_usage`]), or the store can't be read.
    pub fn query(&self, text: &str) -> Result<Answer<'_>, Error> {
        self.guard.forget();
        let answer = Answer::of_sql(self, text).map_err(|cause| self.explain(cause))?;
        if !answer.columns().is_empty() {
            Ok(answer)
        } else if answer.has_statement() {
            Err(Error::Refused { what: "a statement that has no rows".to_owned() })
        } else {
            Err(Error::NoStatement)
        }
    }

    /// Returns an error of SQLite with what a user can do about it.
    pub(crate) fn explain(&self, cause: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode;
        if let Some(what) = self.guard.refused() {
            return Error::Refused { what };
        }
        match (&cause, cause.sqlite_error_code()) {
            (rusqlite::Error::MultipleStatement, _) => Error::Several,
            (_, Some(ErrorCode::OperationInterrupted)) => match self.limits.timeout {
                Some(limit) if !self.guard.meter().is_stopped() => {
                    Error::TimeLimit { limit: model::Period(limit).to_string() }
                }
                _ => Error::Stopped,
            },
            (_, Some(ErrorCode::OutOfMemory)) if self.limits.memory.is_some() => {
                let limit = self.limits.memory.map(|limit| Size(limit).to_string()).unwrap_or_default();
                Error::MemoryLimit { limit }
            }
            (rusqlite::Error::SqlInputError { msg, sql, offset, .. }, _) => {
                if let Some(what) = changes(msg) {
                    return Error::Refused { what };
                }
                let (at, place) = place(sql, *offset).unwrap_or_default();
                Error::Statement { cause: format!("{at}{msg}"), place, nearest: self.nearest(msg) }
            }
            (rusqlite::Error::SqliteFailure(error, Some(message)), _)
                if error.code == ErrorCode::Unknown || error.extended_code == FUNCTION =>
            {
                if let Some(what) = changes(message) {
                    return Error::Refused { what };
                }
                let nearest = self.nearest(message);
                Error::Statement { cause: message.clone(), place: String::new(), nearest }
            }
            _ => reading("rows")(cause),
        }
    }

    /// Returns the known name most like the unknown one in a message.
    fn nearest(&self, message: &str) -> Option<String> {
        if let Some(name) = message.strip_prefix("no such table: ") {
            return crate::error::nearest(name, self.described.iter().map(|table| table.name.as_str()));
        }
        let name = message.strip_prefix("no such column: ")?;
        let (table, name) = name.rsplit_once('.').map_or((None, name), |(table, name)| (Some(table), name));
        // Before the dot can be another name that the statement gives a table.
        let of = table.and_then(|table| self.described.iter().find(|known| known.name == table));
        let tables = of.map_or(self.described.as_slice(), std::slice::from_ref);
        crate::error::nearest(name, tables.iter().flat_map(Described::names))
    }
}

/// SQLite's code for an error that a function reports.
const FUNCTION: i32 = rusqlite::ffi::SQLITE_CONSTRAINT_FUNCTION;

/// Returns what a statement would change, if a message of SQLite says that it can't.
fn changes(message: &str) -> Option<String> {
    let view = message.strip_prefix("cannot modify ").and_then(|rest| rest.split(' ').next());
    let table = message.strip_prefix("table ").and_then(|rest| rest.strip_suffix(" may not be modified"));
    view.or(table).map(|name| format!("a change of {name}"))
}

/// Returns line and column of a place in a statement, and the line with a mark below it.
fn place(sql: &str, offset: i32) -> Option<(String, String)> {
    let before = sql.get(..usize::try_from(offset).ok()?)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = sql[start..].lines().next().unwrap_or_default();
    let column = before[start..].chars().count();
    let at = format!("{}:{}: ", before.matches('\n').count() + 1, column + 1);
    Some((at, format!("\n  {line}\n  {}^", " ".repeat(column))))
}

fn prepare(store: &Store, limits: &Limits, meter: &Arc<Meter>) -> rusqlite::Result<Vec<Described>> {
    let connection = store.connection();
    if let Some(folder) = limits.spill.as_deref().and_then(|folder| folder.to_str()) {
        // Fails if the folder can't be written: then the system's own is taken.
        let _ = connection.pragma_update(None, "temp_store_directory", folder);
    }
    if let Some(memory) = limits.memory {
        let memory = i64::try_from(memory).unwrap_or(i64::MAX);
        // From the first on, SQLite gives back what it can; at the second, it fails.
        connection.query_row(&format!("PRAGMA soft_heap_limit = {}", memory / 4 * 3), [], |_| Ok(()))?;
        connection.query_row(&format!("PRAGMA hard_heap_limit = {memory}"), [], |_| Ok(()))?;
    }
    functions::register(connection, store.zone().clone())?;
    connection.execute_batch("BEGIN")?;
    // Only the connection's own tables and views are made: the file is open for reading only.
    connection.pragma_update(None, "query_only", false)?;
    let mut described = tables::make(store, meter)?;
    described.extend(views::make(connection, &described)?);
    connection.pragma_update(None, "query_only", true)?;
    Ok(described)
}
