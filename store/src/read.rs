//! The read half: the streams of a store, their batches, and the rows in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use model::schema::ArrowType;
use rusqlite::{Connection, params};

use crate::decode::BatchRows;
use crate::ipc::{read_batch, read_schema};
use crate::layout::{ID, OTHER, data_type};
use crate::segment::{Folder, SealedFiles, Unit};
use crate::sought::Sought;
use crate::{Error, format};

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
    files: SealedFiles,
}

impl Reader {
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

    /// Reads the rows of a batch: all columns, or those for whose names `wants` is true.
    ///
    /// # Errors
    /// SQLite can't read the file, or the batch is damaged or missing.
    pub fn rows(
        &self,
        connection: &Connection,
        batch: &Batch,
        wants: impl Fn(&str) -> bool,
    ) -> Result<BatchRows, Error> {
        self.rows_within(connection, batch, wants, (i64::MIN, i64::MAX))
    }

    /// Reads the rows of a batch. Of a sealed one, only those from the first time to the second.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn rows_within(
        &self,
        connection: &Connection,
        batch: &Batch,
        wants: impl Fn(&str) -> bool,
        span: (i64, i64),
    ) -> Result<BatchRows, Error> {
        let read = self.read(connection, batch, &wants, span)?;
        Ok(BatchRows::new(&read, batch.first_id))
    }

    /// Returns whether a batch may have a row whose column `name` has this value. False only if there is none, as the filters of
    /// sealed files tell; those exist for columns that name processes and files.
    ///
    /// # Errors
    /// The file of the batch is damaged or missing.
    pub fn may_have(
        &self,
        connection: &Connection,
        batch: &Batch,
        name: &str,
        value: &Sought,
    ) -> Result<bool, Error> {
        let Source::Sealed(unit) = &batch.source else { return Ok(true) };
        let found = self.files.may_have(&Folder::of(connection), unit, name, value);
        found.map_err(|source| Error::Decode { what: batch.name(), source })
    }

    /// Reads the columns of a batch, and of a sealed one also `id`.
    pub(crate) fn read(
        &self,
        connection: &Connection,
        batch: &Batch,
        wants: &dyn Fn(&str) -> bool,
        span: (i64, i64),
    ) -> Result<RecordBatch, Error> {
        let failed = |source| Error::Decode { what: batch.name(), source };
        let read = match &batch.source {
            Source::Unsealed { number, layout } => {
                self.unsealed(connection, (*number, *layout), wants, failed)?
            }
            Source::Sealed(unit) => {
                let wants = |name: &str| name == ID || wants(name);
                self.files.rows(&Folder::of(connection), unit, &wants, span).map_err(failed)?
            }
        };
        if read.column_by_name(OTHER).is_some_and(|other| *other.data_type() != data_type(ArrowType::Struct))
        {
            let cause = "its layout is damaged: the last column is not a map".to_owned();
            return Err(failed(ArrowError::IpcError(cause)));
        }
        let is_whole = !batch.is_sealed() || span == (i64::MIN, i64::MAX);
        if !is_whole || read.num_rows() as i64 == batch.rows {
            return Ok(read);
        }
        let cause = format!("it has {} rows and not {}", read.num_rows(), batch.rows);
        Err(failed(ArrowError::IpcError(cause)))
    }

    /// Returns the columns of a batch.
    pub(crate) fn schema(&self, connection: &Connection, batch: &Batch) -> Result<SchemaRef, Error> {
        let schema = match &batch.source {
            Source::Unsealed { layout, .. } => read_schema(&self.layout(connection, *layout)?),
            Source::Sealed(unit) => self.files.schema(&Folder::of(connection), unit),
        };
        schema.map_err(|source| Error::Decode { what: batch.name(), source })
    }

    fn unsealed(
        &self,
        connection: &Connection,
        (number, layout): (i64, i64),
        wants: &dyn Fn(&str) -> bool,
        failed: impl Fn(ArrowError) -> Error,
    ) -> Result<RecordBatch, Error> {
        let message = self.layout(connection, layout)?;
        let schema = read_schema(&message).map_err(&failed)?;
        let indexes = schema.fields().iter().enumerate().filter(|(_, field)| wants(field.name()));
        let indexes = indexes.map(|(index, _)| index).collect();
        let has_crc = format::version(connection)? >= 2;
        let sql = if has_crc {
            "SELECT data, crc FROM batch WHERE number = ?"
        } else {
            "SELECT data, NULL FROM batch WHERE number = ?"
        };
        let (data, crc): (Vec<u8>, Option<u32>) =
            connection.prepare_cached(sql)?.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        check_crc(&data, crc).map_err(&failed)?;
        read_batch(&message, &data, Some(indexes)).map_err(failed)
    }

    fn layout(&self, connection: &Connection, id: i64) -> Result<Rc<Vec<u8>>, Error> {
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
