//! Brings rows of a file of duetector's layout into the store: one that the agent wrote, or Python duetector.
//!
//! Rows are read in the order of their ids. A piece of rows and the id of the last of them are written in one transaction, so that
//! an import that was interrupted goes on with the first row that is not there, and a second one finds nothing to do. Between two
//! pieces an agent can write to the store.

mod bookkeeping;
mod file_id;
mod row;
mod table;

use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use model::LocalTimes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::{Error, distrust, format, write};
pub use file_id::file_ids;
use table::{Table, quote, tables};

/// Table of the rows that were brought in: those of the table `name` of a file, up to `last_id`.
pub const TABLE: &str = "imported";

/// Number of rows in a piece.
const PIECE: u32 = 5000;
/// Size of the values, in bytes, at which a piece ends although it has fewer rows than [`PIECE`].
const PIECE_BYTES: usize = 8 << 20;
/// Time to wait for a writer of the file that keeps no write-ahead log (Python duetector).
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a file of duetector's layout, to which nothing is written.
///
/// # Errors
/// SQLite can't open or read the file.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(PATIENCE)?;
    distrust::distrust(&file)?;
    // Opening is lazy: a file that is not a database fails at the first read.
    file.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(file)
}

/// Makes the store's tables if they are missing. The file gets its id with the first run that writes to it.
///
/// # Errors
/// The file is not a store that this version writes, or SQLite can't write it.
pub fn prepare(store: &Connection) -> Result<(), Error> {
    let transaction = store.unchecked_transaction()?;
    if format::begin(&transaction)? {
        write::found_beside(&transaction, None)?.list(&transaction, "")?;
    }
    Ok(transaction.commit()?)
}

/// A file whose rows are brought in.
#[derive(Debug)]
pub struct Import {
    file: Connection,
    /// The ids of the file. The first one is written to the table of imports.
    ids: Vec<String>,
    tables: Vec<Table>,
    times: LocalTimes,
}

/// Counts of the rows of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The tracer that the rows are stored under.
    pub tracer: String,
    /// The collector that wrote them.
    pub collector_id: String,
    /// Number of rows that were brought in.
    pub rows: u64,
    /// Number of rows that were there already.
    pub already: u64,
    /// Number of rows that can't be read.
    pub unreadable: u64,
    /// The first row that can't be read now, and why.
    pub first_unreadable: Option<String>,
}

impl Import {
    /// Looks at a file, which is not changed. Rows that have only local time are taken to be of that zone, unless the file says in
    /// which zone its runs were. `None` if the file has no rows.
    ///
    /// # Errors
    /// The file is not of duetector's layout, or SQLite can't read it or the store.
    pub fn of(file: Connection, store: &Connection, zone: TimeZone) -> Result<Option<Self>, Error> {
        if format::is_store(&file)? {
            return Err(Error::NotToImport("it is a columnar store".to_owned()));
        }
        let names = tables(&file)?;
        if names.is_empty() {
            return Err(Error::NotToImport("it has no table of duetector's layout".to_owned()));
        }
        let ids = file_ids(&file, "main")?;
        if ids.is_empty() {
            return Ok(None);
        }
        let tables = names.into_iter().map(|name| Table::of(&file, store, name));
        let tables = tables.collect::<rusqlite::Result<_>>()?;
        let times = bookkeeping::times(&file, zone)?;
        Ok(Some(Self { file, ids, tables, times }))
    }

    /// Returns the number of rows that are still to be read.
    ///
    /// # Errors
    /// SQLite can't read the file or the store.
    pub fn waiting(&self, store: &Connection) -> Result<u64, Error> {
        let mut rows = 0;
        for table in &self.tables {
            let after = self.progress(store, table)?.0;
            let sql = format!("SELECT count(*) FROM {} WHERE id > ?", quote(&table.name));
            rows += self.file.query_row(&sql, [after], |row| row.get::<_, i64>(0))?;
        }
        Ok(rows.unsigned_abs())
    }

    /// Brings in all rows that the store does not have, and the accounts of the runs. `progress` is called with the number of rows
    /// of each piece.
    ///
    /// # Errors
    /// SQLite can't read the file, or the store can't be written. The pieces before are there.
    pub fn run(&self, store: &Connection, mut progress: impl FnMut(u64)) -> Result<Vec<Outcome>, Error> {
        bookkeeping::copy(&self.file, store)?;
        let mut outcomes = Vec::new();
        for table in &self.tables {
            let (mut after, rows, unreadable) = self.progress(store, table)?;
            let mut outcome = Outcome {
                tracer: table.tracer.to_string(),
                collector_id: table.collector_id.clone(),
                already: rows.unsigned_abs(),
                unreadable: unreadable.unsigned_abs(),
                ..Outcome::default()
            };
            while let Some(last) = self.piece(store, table, after, &mut outcome, &mut progress)? {
                after = last;
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Brings in a piece of the rows after that id. Returns the id of the last row of the piece; `None` if there is none.
    fn piece(
        &self,
        store: &Connection,
        table: &Table,
        after: i64,
        outcome: &mut Outcome,
        progress: &mut impl FnMut(u64),
    ) -> Result<Option<i64>, Error> {
        let mut piece = Piece::default();
        let mut rows = self.file.prepare_cached(&table.statement())?;
        let mut rows = rows.query(params![after, PIECE])?;
        let mut bytes = 0;
        while let Some(row) = if bytes < PIECE_BYTES { rows.next()? } else { None } {
            bytes += size(row, table.columns.len());
            let id: i64 = row.get(0)?;
            (piece.last, piece.read) = (Some(id), piece.read + 1);
            if table.copied.iter().any(|(first, last)| (first..=last).contains(&&id)) {
                piece.already += 1;
                continue;
            }
            match row::tracking(table, row, &self.times) {
                Ok(row) => piece.rows.push(row),
                Err(why) => {
                    piece.unreadable += 1;
                    let what = || format!("row {id} of {:?}: {why}", table.name);
                    outcome.first_unreadable.get_or_insert_with(what);
                }
            }
        }
        let Some(last) = piece.last else { return Ok(None) };
        // BEGIN IMMEDIATE: if the lock can't be taken, this shows before any work is done.
        store.execute_batch("BEGIN IMMEDIATE")?;
        let written = self.write(store, table, &piece, last);
        let written = written.and_then(|()| Ok(store.execute_batch("COMMIT")?));
        if written.is_err() && !store.is_autocommit() {
            // What was begun ends with the connection in any case.
            let _ = store.execute_batch("ROLLBACK");
        }
        written?;
        outcome.rows += piece.rows.len() as u64;
        outcome.already += piece.already;
        outcome.unreadable += piece.unreadable;
        progress(piece.read);
        Ok(Some(last))
    }

    fn write(&self, store: &Connection, table: &Table, piece: &Piece, last: i64) -> Result<(), Error> {
        write::append(store, &table.collector_id, &piece.rows)?;
        let note = "INSERT INTO imported VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (file, name) DO UPDATE SET
                    last_id = ?3, rows = rows + ?4, unreadable = unreadable + ?5";
        let (rows, unreadable) = (piece.rows.len() as i64, piece.unreadable as i64);
        store.execute(note, params![self.ids.first(), table.name, last, rows, unreadable])?;
        Ok(())
    }

    /// Returns the last id that was read of a table, and how many rows were brought in and could not be read.
    fn progress(&self, store: &Connection, table: &Table) -> rusqlite::Result<(i64, i64, i64)> {
        let sql = "SELECT last_id, rows, unreadable FROM imported WHERE file = ? AND name = ?";
        let mut known = store.prepare_cached(sql)?;
        let mut sum: (i64, i64, i64) = (-1, 0, 0);
        for id in &self.ids {
            let found = known.query_row([id, &table.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            let (last, rows, unreadable): (i64, i64, i64) = found.optional()?.unwrap_or((-1, 0, 0));
            sum = (last.max(sum.0), rows + sum.1, unreadable + sum.2);
        }
        Ok(sum)
    }
}

/// Returns the size of the texts in a row that has this number of columns.
fn size(row: &rusqlite::Row<'_>, columns: usize) -> usize {
    let values = (0..=columns).filter_map(|index| row.get_ref(index).ok());
    values.map(|value| value.as_bytes().map_or(8, <[u8]>::len)).sum()
}

/// Rows that are written in one transaction.
#[derive(Default)]
struct Piece {
    rows: Vec<model::Tracking>,
    last: Option<i64>,
    read: u64,
    already: u64,
    unreadable: u64,
}

/// Adds up the counts of all tables.
pub fn total(outcomes: &[Outcome]) -> Outcome {
    outcomes.iter().fold(Outcome::default(), |mut total, outcome| {
        total.rows += outcome.rows;
        total.already += outcome.already;
        total.unreadable += outcome.unreadable;
        total.first_unreadable = total.first_unreadable.or_else(|| outcome.first_unreadable.clone());
        total
    })
}
