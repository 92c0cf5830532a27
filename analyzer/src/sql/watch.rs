//! Watches the statements of a user: what they take, and what an error of SQLite means.

use std::sync::Arc;

use model::{Period, Size};

use super::guard::Guard;
use super::limits::Limits;
use super::meter::Meter;
use crate::Error;
use crate::error::{nearest, reading};

/// Watches the statements on one store.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(super) limits: Limits,
    pub(super) guard: Guard,
    /// Names of the tables with those of their columns.
    pub(super) known: Vec<(String, Vec<String>)>,
}

impl Watch {
    /// Returns what counts, and can stop a statement.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        self.guard.meter()
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
                    Error::TimeLimit { limit: Period(limit).to_string() }
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
                let (at, mark) = mark(sql, *offset).unwrap_or_default();
                Error::Statement { cause: format!("{at}{msg}"), mark, nearest: self.nearest(msg) }
            }
            (rusqlite::Error::SqliteFailure(error, Some(message)), _)
                if error.code == ErrorCode::Unknown || error.extended_code == FUNCTION =>
            {
                if let Some(what) = changes(message) {
                    return Error::Refused { what };
                }
                let nearest = self.nearest(message);
                Error::Statement { cause: message.clone(), mark: String::new(), nearest }
            }
            _ => reading("rows")(cause),
        }
    }

    /// Returns the known name most like the unknown one in a message.
    fn nearest(&self, message: &str) -> Option<String> {
        if let Some(name) = message.strip_prefix("no such table: ") {
            return nearest(name, self.known.iter().map(|(table, _)| table.as_str()));
        }
        let name = message.strip_prefix("no such column: ")?;
        let (table, name) = name.rsplit_once('.').map_or((None, name), |(table, name)| (Some(table), name));
        // Before the dot can be another name that the statement gives a table.
        let of = table.and_then(|table| self.known.iter().find(|(known, _)| known == table));
        let tables = of.map_or(self.known.as_slice(), std::slice::from_ref);
        nearest(name, tables.iter().flat_map(|(_, columns)| columns).map(String::as_str))
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

/// Returns line and column of an offset in a statement, and the line with a mark below it.
fn mark(sql: &str, offset: i32) -> Option<(String, String)> {
    let before = sql.get(..usize::try_from(offset).ok()?)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = sql[start..].lines().next().unwrap_or_default();
    let column = before[start..].chars().count();
    let at = format!("{}:{}: ", before.matches('\n').count() + 1, column + 1);
    Some((at, format!("\n  {line}\n  {}^", " ".repeat(column))))
}
