//! Reads the list of streams of a store and of their batches. [`crate::select`] reads the rows in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow_schema::ArrowError;
use rusqlite::{Connection, params};

use crate::format;
use crate::segment::{SealedFiles, Unit};
use crate::selected::Reads;

/// The rows of one tracer from one collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Id in the file.
    pub id: i64,
    /// The tracer that the rows are stored under.
    pub tracer: String,
    /// The collector that wrote them.
    pub collector_id: String,
}

/// Rows that are read together, without the rows: a batch, or a row group of a sealed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub(crate) source: Source,
    /// Smallest number of a row in its stream.
    pub first_id: i64,
    /// Largest number of a row in its stream.
    pub last_id: i64,
    /// Number of rows.
    pub rows: i64,
    /// Earliest time of a row, in nanoseconds since 1970, UTC.
    pub first: i64,
    /// Latest time of a row.
    pub last: i64,
}

/// Where the rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In a batch of the store's file, which has a number and a layout.
    Unsealed { number: i64, layout: i64 },
    /// In a segment.
    Sealed(Unit),
}

impl Batch {
    /// Returns what the batch is called in messages.
    pub fn name(&self) -> String {
        match &self.source {
            Source::Unsealed { number, .. } => format!("batch {number}"),
            Source::Sealed(unit) => unit.to_string(),
        }
    }

    /// Returns the name of the segment that the rows are in, if they are sealed.
    pub fn segment(&self) -> Option<&str> {
        match &self.source {
            Source::Unsealed { .. } => None,
            Source::Sealed(unit) => Some(&unit.segment),
        }
    }

    /// Returns whether the rows are in a segment.
    pub fn is_sealed(&self) -> bool {
        matches!(self.source, Source::Sealed(_))
    }
}

/// Totals of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Number of rows.
    pub rows: i64,
    /// Earliest time of a row.
    pub first: i64,
    /// Latest time of a row.
    pub last: i64,
}

/// Batches that are read: those with number, layout, first id, rows, first and last time whose rows are not sealed.
const UNSEALED: &str = "SELECT number, layout, first_id, rows, first, last FROM batch
    WHERE stream = ?1 AND first_id >= ifnull((SELECT sealed FROM sealing WHERE stream = ?1), 0)";
/// The same in a file of version 1, in which nothing is sealed.
const ALL: &str = "SELECT number, layout, first_id, rows, first, last FROM batch WHERE stream = ?1";
/// Row groups that are read: those of segments whose rows are read from them.
const SEALED: &str = "SELECT name, file, row_group, first_id, last_id, part.rows, part.first, part.last
    FROM part JOIN segment ON segment.number = part.segment WHERE stream = ?1 AND segment.state = 'sealed'";

/// Reads a store through a connection whose main file it is. What is read within one read transaction of the connection is of one
/// moment, whatever is written meanwhile.
#[derive(Debug, Default)]
pub struct Reader {
    /// Schemas that were read, as messages.
    layouts: RefCell<HashMap<i64, Rc<Vec<u8>>>>,
    pub(crate) files: SealedFiles,
    pub(crate) reads: Arc<Reads>,
}

impl Reader {
    /// Makes a reader that counts in `reads` how it reads batches.
    pub fn counting(reads: &Arc<Reads>) -> Self {
        Self { reads: reads.clone(), ..Self::default() }
    }

    /// Returns all streams, ordered by tracer and collector.
    ///
    /// # Errors
    /// SQLite can't read the file.
    pub fn streams(&self, connection: &Connection) -> rusqlite::Result<Vec<Stream>> {
        let sql = "SELECT id, tracer, collector_id FROM stream ORDER BY tracer, collector_id";
        let mut streams = connection.prepare_cached(sql)?;
        let streams = streams.query_map([], |row| {
            Ok(Stream { id: row.get(0)?, tracer: row.get(1)?, collector_id: row.get(2)? })
        })?;
        streams.collect()
    }

    /// Returns the totals of a stream; `None` if it has no rows.
    ///
    /// # Errors
    /// SQLite can't read the file.
    pub fn totals(&self, connection: &Connection, stream: i64) -> rusqlite::Result<Option<Totals>> {
        let batches = self.batches(connection, stream, i64::MIN, i64::MAX)?;
        Ok(batches.iter().fold(None, |totals: Option<Totals>, batch| {
            let Batch { rows, first, last, .. } = *batch;
            let Some(so_far) = totals else { return Some(Totals { rows, first, last }) };
            Some(Totals {
                rows: so_far.rows + rows,
                first: so_far.first.min(first),
                last: so_far.last.max(last),
            })
        }))
    }

    /// Returns the batches of a stream that may have rows within these times: the sealed ones, then the others in the order in which
    /// they were written.
    ///
    /// # Errors
    /// SQLite can't read the file.
    pub fn batches(
        &self,
        connection: &Connection,
        stream: i64,
        since: i64,
        until: i64,
    ) -> rusqlite::Result<Vec<Batch>> {
        let mut batches = Vec::new();
        let has_segments = format::version(connection)? >= 2;
        if has_segments {
            let sql = format!("{SEALED} AND part.last >= ?2 AND part.first <= ?3 ORDER BY part.first");
            let mut parts = connection.prepare_cached(&sql)?;
            let mut names: HashMap<String, Arc<str>> = HashMap::new();
            let mut shared =
                |name: String| names.entry(name).or_insert_with_key(|name| name.as_str().into()).clone();
            let parts = parts.query_map(params![stream, since, until], |row| {
                let unit =
                    Unit { segment: shared(row.get(0)?), file: shared(row.get(1)?), row_group: row.get(2)? };
                Ok(Batch {
                    source: Source::Sealed(unit),
                    first_id: row.get(3)?,
                    last_id: row.get(4)?,
                    rows: row.get(5)?,
                    first: row.get(6)?,
                    last: row.get(7)?,
                })
            })?;
            batches = parts.collect::<rusqlite::Result<_>>()?;
        }
        let unsealed = if has_segments { UNSEALED } else { ALL };
        let sql = format!("{unsealed} AND last >= ?2 AND first <= ?3 ORDER BY first_id");
        let mut unsealed = connection.prepare_cached(&sql)?;
        let unsealed = unsealed.query_map(params![stream, since, until], |row| {
            let (first_id, rows): (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok(Batch {
                source: Source::Unsealed { number: row.get(0)?, layout: row.get(1)? },
                first_id,
                last_id: first_id.saturating_add(rows) - 1,
                rows,
                first: row.get(4)?,
                last: row.get(5)?,
            })
        })?;
        for batch in unsealed {
            batches.push(batch?);
        }
        Ok(batches)
    }

    pub(crate) fn layout(&self, connection: &Connection, id: i64) -> rusqlite::Result<Rc<Vec<u8>>> {
        if let Some(known) = self.layouts.borrow().get(&id) {
            return Ok(known.clone());
        }
        let message = connection
            .prepare_cached("SELECT schema FROM layout WHERE id = ?")?
            .query_row([id], |row| row.get(0))?;
        Ok(self.layouts.borrow_mut().entry(id).or_insert(Rc::new(message)).clone())
    }
}

/// Checks that data are as they were written.
pub(crate) fn check_crc(data: &[u8], crc: Option<u32>) -> Result<(), ArrowError> {
    if crc.is_none_or(|crc| crc == crc32fast::hash(data)) {
        return Ok(());
    }
    Err(ArrowError::IpcError(
        "its checksum does not fit: the data were damaged after they were written".to_owned(),
    ))
}

/// Returns whether an error means that data are damaged: not that the system could not read them, which may pass.
pub(crate) fn is_damage(error: &ArrowError) -> bool {
    !matches!(error, ArrowError::IoError(..) | ArrowError::ExternalError(_))
}
