//! Streams that are written: each collects rows, and appends them to the file as batches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use model::schema::stored_name;
use model::{TracerName, Tracking};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::Error;
use crate::ipc::{Encoder, read_batch, read_schema};
use crate::layout::Layout;
use crate::read::check_crc;
use crate::rows::{Rows, size};

/// Number of rows from which a batch is left alone.
const WHOLE: i64 = 1000;
/// Size from which a batch is left alone, in bytes, so that long texts do not make large batches.
const LARGE: i64 = 1 << 20;
/// Size of the values from which a batch is left alone, in bytes. Texts that compress well are much larger in memory than in
/// the file.
const LARGE_IN_MEMORY: usize = 8 << 20;

/// Streams that rows were written to.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    /// Indexes of streams. Tracers whose names differ only in what stored names do not have share one.
    of_tracers: HashMap<TracerName, usize>,
}

/// The rows of one tracer.
#[derive(Debug)]
struct Stream {
    id: i64,
    tracer: String,
    rows: Rows,
    /// Id of the layout in the file, and its number of columns.
    layout: Option<(i64, usize)>,
    /// The schema of that layout, as a message.
    schema: Vec<u8>,
    /// Number of the next row.
    next_id: i64,
    /// Small batches at the end, oldest first.
    tail: Vec<Small>,
}

/// A small batch in the file.
#[derive(Clone, Copy, Debug)]
struct Small {
    number: i64,
    layout: i64,
    first_id: i64,
    rows: i64,
    span: (i64, i64),
    bytes: i64,
}

impl Streams {
    /// Adds rows to those that wait.
    pub(super) fn push(
        &mut self,
        connection: &Connection,
        collector_id: &str,
        rows: &[Tracking],
    ) -> Result<(), Error> {
        for of_tracer in rows.chunk_by(|one, next| one.tracer == next.tracer) {
            let Some(first) = of_tracer.first() else { continue };
            let stream = self.of(&first.tracer, connection, collector_id)?;
            of_tracer.iter().for_each(|row| stream.rows.push(row));
        }
        Ok(())
    }

    /// Appends the rows that wait to the file.
    pub(super) fn append_all(&mut self, connection: &Connection, encoder: &mut Encoder) -> Result<(), Error> {
        let mut filled = self.streams.iter_mut().filter(|stream| !stream.rows.is_empty());
        filled.try_for_each(|stream| stream.append(connection, encoder))
    }

    /// Returns the id of the newest row of a tracer, by its stored name, if its stream is open.
    pub(super) fn newest_id(&self, tracer: &str) -> Option<i64> {
        let stream = self.streams.iter().find(|stream| stream.tracer == tracer)?;
        Some(stream.next_id - 1)
    }

    /// Returns the stream of a tracer, which is opened if it is not open yet.
    fn of(
        &mut self,
        tracer: &TracerName,
        connection: &Connection,
        collector_id: &str,
    ) -> Result<&mut Stream, Error> {
        let index = match self.of_tracers.entry(tracer.clone()) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let stored = stored_name(tracer.as_str());
                let open = self.streams.iter().position(|stream| stream.tracer == stored);
                if open.is_none() {
                    self.streams.push(Stream::open(connection, stored, collector_id)?);
                }
                *entry.insert(open.unwrap_or(self.streams.len() - 1))
            }
        };
        Ok(&mut self.streams[index])
    }
}

impl Stream {
    /// Continues the stream of this tracer, or begins it.
    fn open(connection: &Connection, tracer: String, collector_id: &str) -> Result<Self, Error> {
        connection
            .prepare_cached("INSERT OR IGNORE INTO stream (tracer, collector_id) VALUES (?, ?)")?
            .execute([&tracer, collector_id])?;
        let id = connection.query_row(
            "SELECT id FROM stream WHERE tracer = ? AND collector_id = ?",
            [&tracer, collector_id],
            |row| row.get(0),
        )?;
        let latest = "SELECT id, schema FROM layout WHERE tracer = ? ORDER BY id DESC LIMIT 1";
        let latest = connection
            .query_row(latest, [&tracer], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional()?;
        let mut layout = Layout::of(&tracer);
        let mut known = (None, Vec::new());
        if let Some((id, message)) = latest {
            match read_schema(&message) {
                Ok(schema) => {
                    layout = layout.continuing(&schema);
                    if layout.schema() == schema {
                        known = (Some((id, layout.used())), message);
                    }
                }
                // The rows that come get a layout of their own.
                Err(cause) => tracing::error!(tracer, layout = id, %cause, "a stored layout is damaged"),
            }
        }
        let (layout_id, schema) = known;
        let mut stream = Self {
            id,
            tracer,
            rows: Rows::new(layout),
            layout: layout_id,
            schema,
            next_id: 1,
            tail: Vec::new(),
        };
        stream.read_tail(connection)?;
        Ok(stream)
    }

    /// Reads which batches at the end are small, and not closed because they are being sealed.
    fn read_tail(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let closed = "SELECT closed FROM sealing WHERE stream = ?";
        let closed = connection.prepare_cached(closed)?.query_row([self.id], |row| row.get(0)).optional()?;
        let closed: i64 = closed.unwrap_or(1);
        self.next_id = self.next_id.max(closed);
        let sql = "SELECT number, layout, first_id, rows, first, last, length(data) FROM batch
                   WHERE stream = ? ORDER BY first_id DESC";
        let mut statement = connection.prepare_cached(sql)?;
        let mut batches = statement.query_map([self.id], |row| {
            let span = (row.get(4)?, row.get(5)?);
            Ok(Small {
                number: row.get(0)?,
                layout: row.get(1)?,
                first_id: row.get(2)?,
                rows: row.get(3)?,
                span,
                bytes: row.get(6)?,
            })
        })?;
        while let Some(batch) = batches.next().transpose()? {
            if self.tail.is_empty() {
                self.next_id = self.next_id.max(batch.first_id + batch.rows);
            }
            if !batch.is_small() || batch.first_id < closed {
                break;
            }
            self.tail.insert(0, batch);
        }
        Ok(())
    }

    /// Appends the rows that have come, together with the small batches before them that are due.
    fn append(&mut self, connection: &Connection, encoder: &mut Encoder) -> Result<(), Error> {
        let tracer = self.tracer.clone();
        let failed = |source| Error::Encode { tracer: tracer.clone(), source };
        let span = self.rows.span().unwrap_or_default();
        let mut batch = self.rows.finish().map_err(failed)?;
        let layout = self.write_layout(connection, encoder)?;
        let mut new = Small {
            number: 0,
            layout,
            first_id: self.next_id,
            rows: batch.num_rows() as i64,
            span,
            bytes: 0,
        };
        self.next_id += new.rows;
        let mut parts = Vec::new();
        while let Some(last) = self.tail.pop_if(|last| last.joins(&new)) {
            let Some(part) = self.take(connection, &last)? else {
                // It stays as it is, and so do those before it.
                self.tail.clear();
                break;
            };
            parts.insert(0, part);
            new.take_in(&last);
        }
        if !parts.is_empty() {
            parts.push(batch);
            batch = concat_batches(&self.rows.schema(), &parts).map_err(failed)?;
        }
        let data = encoder.batch(&batch).map_err(failed)?;
        new.bytes = data.len() as i64;
        connection
            .prepare_cached(
                "INSERT INTO batch (stream, layout, first_id, rows, first, last, data, crc)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                self.id,
                new.layout,
                new.first_id,
                new.rows,
                new.span.0,
                new.span.1,
                data,
                crc32fast::hash(&data)
            ])?;
        new.number = connection.last_insert_rowid();
        if new.is_small() {
            self.tail.push(new);
        } else {
            // Batches before a whole one stay as they are.
            self.tail.clear();
        }
        Ok(())
    }

    /// Takes a batch out of the file; `None` if it stays there, because it is damaged or large.
    fn take(&self, connection: &Connection, batch: &Small) -> rusqlite::Result<Option<RecordBatch>> {
        let (data, crc): (Vec<u8>, Option<u32>) = connection
            .prepare_cached("SELECT data, crc FROM batch WHERE number = ?")?
            .query_row([batch.number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let read = check_crc(&data, crc).and_then(|()| read_batch(&self.schema, &data, None));
        let cause = match read {
            Ok(rows) if rows.num_rows() as i64 == batch.rows => {
                if size(&rows) > LARGE_IN_MEMORY {
                    return Ok(None);
                }
                connection.prepare_cached("DELETE FROM batch WHERE number = ?")?.execute([batch.number])?;
                return Ok(Some(rows));
            }
            Ok(rows) => format!("it has {} rows and not {}", rows.num_rows(), batch.rows),
            Err(cause) => cause.to_string(),
        };
        let (tracer, number, rows) = (&self.tracer, batch.number, batch.rows);
        tracing::error!(
            tracer,
            batch = number,
            rows,
            cause,
            "a stored batch is damaged: it is left as it is"
        );
        Ok(None)
    }

    /// Writes the layout, if its columns have become more; returns its id.
    fn write_layout(&mut self, connection: &Connection, encoder: &Encoder) -> Result<i64, Error> {
        let columns = self.rows.layout().used();
        if let Some((id, _)) = self.layout.filter(|(_, known)| *known == columns) {
            return Ok(id);
        }
        self.schema = encoder
            .schema(&self.rows.schema())
            .map_err(|source| Error::Encode { tracer: self.tracer.clone(), source })?;
        connection.execute(
            "INSERT INTO layout (tracer, made_by, schema) VALUES (?, ?, ?)",
            params![self.tracer, env!("CARGO_PKG_VERSION"), self.schema],
        )?;
        let id = connection.last_insert_rowid();
        self.layout = Some((id, columns));
        Ok(id)
    }
}

impl Small {
    fn is_small(&self) -> bool {
        self.rows < WHOLE && self.bytes < LARGE
    }

    /// Returns whether this batch is put together with the one that follows.
    fn joins(&self, next: &Self) -> bool {
        self.layout == next.layout && self.rows <= next.rows * 2
    }

    /// Extends the batch by the one before it.
    fn take_in(&mut self, before: &Self) {
        self.first_id = before.first_id;
        self.rows += before.rows;
        self.span = (self.span.0.min(before.span.0), self.span.1.max(before.span.1));
    }
}
