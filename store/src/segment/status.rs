//! The state of a store: its segments, and the rows that are not sealed yet.

use rusqlite::Connection;
use serde::Serialize;

use super::Folder;
use super::manifest::rfc3339;
use super::retention::unsealed_sum;
use super::state::UNREMOVED;
use crate::{Error, format};

/// A segment, as `store status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentStatus {
    /// Name, which is that of its folder.
    pub name: String,
    /// State: `sealed`, `merged` or `pruned`; `sealing` or `merging` while it is written; `found` if it is not checked yet.
    pub state: String,
    /// Earliest time of a row, UTC.
    pub first: String,
    /// Latest time of a row, UTC.
    pub last: String,
    /// The same times, in nanoseconds.
    #[serde(skip)]
    pub span: (i64, i64),
    /// Number of rows.
    pub rows: i64,
    /// Size of its files, in bytes; of removed ones the size that they had.
    pub bytes: i64,
}

/// Rows that are not sealed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsealed {
    /// Time of the oldest row, UTC, in nanoseconds; `None` if there are no rows.
    pub first: Option<i64>,
    /// Size of the batches in bytes.
    pub bytes: i64,
    /// Number of rows.
    pub rows: i64,
}

/// Returns all segments in order of time.
///
/// # Errors
/// SQLite can't read the file.
pub fn list(connection: &Connection) -> rusqlite::Result<Vec<SegmentStatus>> {
    if format::version(connection)? < 2 {
        return Ok(Vec::new());
    }
    let sql = "SELECT name, state, first, last, rows, bytes FROM segment ORDER BY first, number";
    let mut segments = connection.prepare(sql)?;
    let segments = segments.query_map([], |row| {
        Ok(SegmentStatus {
            name: row.get(0)?,
            state: row.get(1)?,
            first: rfc3339(row.get(2)?),
            last: rfc3339(row.get(3)?),
            span: (row.get(2)?, row.get(3)?),
            rows: row.get(4)?,
            bytes: row.get(5)?,
        })
    })?;
    segments.collect()
}

/// Returns the rows that are not sealed yet. No batch is read.
///
/// # Errors
/// SQLite can't read the file.
pub fn unsealed(connection: &Connection) -> rusqlite::Result<Unsealed> {
    if format::version(connection)? < 2 {
        let sql = "SELECT min(first), ifnull(sum(length(data)), 0), ifnull(sum(rows), 0) FROM batch";
        return connection.query_row(sql, [], |row| {
            Ok(Unsealed { first: row.get(0)?, bytes: row.get(1)?, rows: row.get(2)? })
        });
    }
    let (first, bytes, rows) = unsealed_sum(connection)?;
    Ok(Unsealed { first, bytes, rows })
}

/// Returns the names of the segments in the folder that are not part of the store, and are left alone.
///
/// # Errors
/// SQLite can't read the file, or the folder can't be listed.
pub fn strangers(connection: &Connection) -> Result<Vec<String>, Error> {
    if format::version(connection)? < 2 {
        return Ok(Vec::new());
    }
    let mut found = Folder::of(connection).segments()?;
    let mut known = connection.prepare_cached("SELECT 1 FROM segment WHERE name = ?")?;
    let mut unknown = Vec::new();
    for name in found.drain(..) {
        if !known.exists([&name])? {
            unknown.push(name);
        }
    }
    Ok(unknown)
}

/// Returns whether a process that changed segments has left something undone.
///
/// # Errors
/// SQLite can't read the file.
pub fn has_unfinished(connection: &Connection) -> rusqlite::Result<bool> {
    if format::version(connection)? < 2 {
        return Ok(false);
    }
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM segment WHERE state IN ('found', 'sealing', 'merging') OR {UNREMOVED})
         OR EXISTS (SELECT 1 FROM sealing JOIN batch USING (stream) WHERE first_id < sealed)"
    );
    connection.query_row(&sql, [], |row| row.get(0))
}

/// Returns the latest time in the segment that is removed next, UTC, in nanoseconds.
///
/// # Errors
/// SQLite can't read the file.
pub fn oldest(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    if format::version(connection)? < 2 {
        return Ok(None);
    }
    connection.query_row("SELECT min(last) FROM segment WHERE state = 'sealed'", [], |row| row.get(0))
}
