//! The read half: the streams of a store, their batches, and the rows in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use arrow_schema::ArrowError;
use model::schema::ArrowType;
use rusqlite::{Connection, Row, params};

use crate::Error;
use crate::decode::BatchRows;
use crate::ipc::{read_batch, read_schema};
use crate::layout::{OTHER, data_type};

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

/// A batch of rows, without the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number in the file.
    pub number: i64,
    layout: i64,
    /// Number of its first row in the stream; the others follow.
    pub first_id: i64,
    /// Number of rows.
    pub rows: i64,
    /// Earliest time of a row, in nanoseconds since 1970, UTC.
    pub first: i64,
    /// Latest time of a row.
    pub last: i64,
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

/// Reads a store through a connection. What is read within one read transaction of the connection is of one moment, whatever
/// is written meanwhile.
#[derive(Debug, Default)]
pub struct Reader {
    /// Schemas that were read, as messages.
    layouts: RefCell<HashMap<i64, Rc<Vec<u8>>>>,
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
        let sql = "SELECT sum(rows), min(first), max(last) FROM batch WHERE stream = ?";
        connection.prepare_cached(sql)?.query_row([stream], |row| {
            let Some(rows) = row.get(0)? else { return Ok(None) };
            Ok(Some(Totals { rows, first: row.get(1)?, last: row.get(2)? }))
        })
    }

    /// Returns the batches of a stream that may have rows within these times, in the order in which they were written.
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
        let sql = "SELECT number, layout, first_id, rows, first, last FROM batch
                   WHERE stream = ? AND last >= ? AND first <= ? ORDER BY first_id";
        let mut batches = connection.prepare_cached(sql)?;
        batches.query_map(params![stream, since, until], batch)?.collect()
    }

    /// Reads the rows of a batch: all columns, or those for whose names `wants` is true.
    ///
    /// # Errors
    /// SQLite can't read the file, or the batch is damaged.
    pub fn rows(
        &self,
        connection: &Connection,
        batch: &Batch,
        wants: impl Fn(&str) -> bool,
    ) -> Result<BatchRows, Error> {
        let failed = |source| Error::Decode { number: batch.number, source };
        let message = self.layout(connection, batch.layout)?;
        let schema = read_schema(&message).map_err(failed)?;
        let indexes = schema.fields().iter().enumerate().filter(|(_, field)| wants(field.name()));
        let indexes = indexes.map(|(index, _)| index).collect();
        let data: Vec<u8> = connection
            .prepare_cached("SELECT data FROM batch WHERE number = ?")?
            .query_row([batch.number], |row| row.get(0))?;
        let read = read_batch(&message, &data, Some(indexes)).map_err(failed)?;
        if read.column_by_name(OTHER).is_some_and(|other| *other.data_type() != data_type(ArrowType::Struct))
        {
            let cause = "its layout is damaged: the last column is not a map".to_owned();
            return Err(failed(ArrowError::IpcError(cause)));
        }
        let rows = BatchRows::new(&read);
        if rows.len() as i64 == batch.rows {
            return Ok(rows);
        }
        let cause = format!("it has {} rows and not {}", rows.len(), batch.rows);
        Err(failed(ArrowError::IpcError(cause)))
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

fn batch(row: &Row<'_>) -> rusqlite::Result<Batch> {
    Ok(Batch {
        number: row.get(0)?,
        layout: row.get(1)?,
        first_id: row.get(2)?,
        rows: row.get(3)?,
        first: row.get(4)?,
        last: row.get(5)?,
    })
}
