//! Rows on their way to another process, without a file: as the batches that the file has. The receiver puts them into a
//! store in memory, so that one query means the same for stored rows and for those that are just being stored.

use std::collections::HashMap;

use model::Tracking;
use model::schema::stored_name;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::ipc::Encoder;
use crate::layout::Layout;
use crate::rows::Rows;
use crate::{Error, format};

/// Describes a batch that is sent. Its bytes follow: the schema, if it has changed, and the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The tracer that the rows are stored under.
    pub tracer: String,
    /// The id of the first row in the store; those of the others follow.
    pub first_id: i64,
    /// Number of rows.
    pub rows: i64,
    /// Earliest time of a row, in nanoseconds since 1970, UTC.
    pub first: i64,
    /// Latest time of a row.
    pub last: i64,
    /// Length of the schema in bytes; 0 if it is that of the tracer's batch before.
    pub schema: u32,
    /// Length of the rows in bytes.
    pub data: u32,
}

/// Packs rows into batches for one receiver.
pub struct Packer {
    encoder: Encoder,
    streams: HashMap<String, Packed>,
}

/// State of one tracer: the columns that were sent.
struct Packed {
    rows: Rows,
    /// Number of columns of the schema that the receiver has.
    columns: usize,
}

impl Packer {
    /// Makes a packer for a receiver that knows no schema yet.
    ///
    /// # Errors
    /// Arrow refuses the options, which would be a bug.
    pub fn new() -> Result<Self, Error> {
        let encoder = Encoder::new().map_err(|source| Error::Encode { tracer: String::new(), source })?;
        Ok(Self { encoder, streams: HashMap::new() })
    }

    /// Packs rows of one tracer, of which the first has this id; returns their description and appends their bytes to `out`.
    ///
    /// # Errors
    /// The rows do not make a batch, which would be a bug.
    pub fn pack(&mut self, rows: &[Tracking], first_id: i64, out: &mut Vec<u8>) -> Result<Carried, Error> {
        let tracer = rows.first().map(|row| stored_name(row.tracer.as_str())).unwrap_or_default();
        let packed = self
            .streams
            .entry(tracer.clone())
            .or_insert_with(|| Packed { rows: Rows::new(Layout::of(&tracer)), columns: 0 });
        rows.iter().for_each(|row| packed.rows.push(row));
        let (first, last) = packed.rows.span().unwrap_or_default();
        let failed = |source| Error::Encode { tracer: tracer.clone(), source };
        let batch = packed.rows.finish().map_err(failed)?;
        let columns = packed.rows.layout().used();
        let mut schema = Vec::new();
        if packed.columns != columns {
            schema = self.encoder.schema(&packed.rows.schema()).map_err(failed)?;
            packed.columns = columns;
        }
        let data = self.encoder.batch(&batch).map_err(failed)?;
        out.extend_from_slice(&schema);
        out.extend_from_slice(&data);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (schema, data) = (length(&schema), length(&data));
        Ok(Carried { first_id, rows: rows.len() as i64, first, last, schema, data, tracer })
    }
}

/// Puts received batches into a store in memory.
#[derive(Debug)]
pub struct Unpacker {
    collector_id: String,
    /// Ids of streams and of their latest layouts.
    streams: HashMap<String, (i64, i64)>,
}

impl Unpacker {
    /// Makes an empty store of this connection, which has no tables yet. Rows are of this collector.
    ///
    /// # Errors
    /// SQLite can't make the tables.
    pub fn new(connection: &Connection, collector_id: &str) -> Result<Self, Error> {
        format::begin(connection)?;
        Ok(Self { collector_id: collector_id.to_owned(), streams: HashMap::new() })
    }

    /// Puts a batch into the store. `bytes` are those that were sent with it. Without rows, only its schema is noted.
    ///
    /// # Errors
    /// The bytes are not as described, or SQLite can't keep them.
    pub fn put(&mut self, connection: &Connection, carried: &Carried, bytes: &[u8]) -> Result<(), Error> {
        let foreign = || Error::Foreign("a batch of live rows is not as described".to_owned());
        let (schema, data) = bytes.split_at_checked(carried.schema as usize).ok_or_else(foreign)?;
        let known = self.streams.get(&carried.tracer).copied();
        let stream = match known {
            Some((stream, _)) => stream,
            None => {
                let sql = "INSERT INTO stream (tracer, collector_id) VALUES (?, ?)";
                connection.execute(sql, [&carried.tracer, &self.collector_id])?;
                connection.last_insert_rowid()
            }
        };
        let layout = match known {
            Some((_, layout)) if schema.is_empty() => layout,
            _ if schema.is_empty() => return Err(foreign()),
            _ => {
                let sql = "INSERT INTO layout (tracer, made_by, schema) VALUES (?, ?, ?)";
                connection.execute(sql, params![carried.tracer, env!("CARGO_PKG_VERSION"), schema])?;
                connection.last_insert_rowid()
            }
        };
        self.streams.insert(carried.tracer.clone(), (stream, layout));
        let Carried { first_id, rows, first, last, .. } = *carried;
        if rows == 0 {
            return Ok(());
        }
        connection
            .prepare_cached(
                "INSERT INTO batch (stream, layout, first_id, rows, first, last, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![stream, layout, first_id, rows, first, last, data])?;
        Ok(())
    }

    /// Removes all batches.
    ///
    /// # Errors
    /// SQLite can't remove them.
    pub fn clear(&self, connection: &Connection) -> Result<(), Error> {
        connection.prepare_cached("DELETE FROM batch")?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{Details, Extended, TracerName, WallTime};

    use super::*;
    use crate::Reader;

    fn rows(fields: &str, count: i64) -> Vec<Tracking> {
        let fields: serde_json::Map<_, _> = serde_json::from_str(fields).unwrap();
        let row = |second| {
            let extended = Extended::new(Details::Fields(fields.clone()));
            Tracking::new(TracerName::new("Mine"), WallTime(second * 1_000_000), extended)
        };
        (1..=count).map(row).collect()
    }

    #[test]
    fn rows_arrive_with_their_ids_and_a_schema_is_sent_when_it_changes() {
        let connection = Connection::open_in_memory().unwrap();
        let (mut packer, mut unpacker) =
            (Packer::new().unwrap(), Unpacker::new(&connection, "here").unwrap());
        let mut lengths = Vec::new();
        for (sent, first_id) in
            [(rows(r#"{"a":1}"#, 2), 5), (rows(r#"{"a":2}"#, 1), 7), (rows(r#"{"b":3}"#, 3), 8)]
        {
            let mut bytes = Vec::new();
            let carried = packer.pack(&sent, first_id, &mut bytes).unwrap();
            lengths.push(carried.schema > 0);
            unpacker.put(&connection, &carried, &bytes).unwrap();
        }
        assert_eq!(lengths, [true, false, true]);
        let reader = Reader::default();
        let [stream] = &reader.streams(&connection).unwrap()[..] else { panic!("one stream") };
        assert_eq!((stream.tracer.as_str(), stream.collector_id.as_str()), ("mine", "here"));
        let batches = reader.batches(&connection, stream.id, i64::MIN, i64::MAX).unwrap();
        let found: Vec<_> = batches.iter().map(|batch| (batch.first_id, batch.rows, batch.last)).collect();
        assert_eq!(found, [(5, 2, 2_000_000_000), (7, 1, 1_000_000_000), (8, 3, 3_000_000_000)]);
        let last = reader.rows(&connection, &batches[2], |_| true).unwrap();
        assert_eq!(serde_json::Value::Object(last.extended(2)), serde_json::json!({"b": 3}));
        unpacker.clear(&connection).unwrap();
        assert_eq!(reader.totals(&connection, stream.id).unwrap(), None);
    }

    #[test]
    fn a_batch_that_is_not_as_described_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new(&connection, "x").unwrap());
        let mut bytes = Vec::new();
        let carried = packer.pack(&rows("{}", 1), 1, &mut bytes).unwrap();
        let without = Carried { schema: 0, ..carried.clone() };
        assert!(unpacker.put(&connection, &without, &bytes).is_err(), "no schema is known yet");
        let long = Carried { schema: u32::MAX, ..carried };
        assert!(unpacker.put(&connection, &long, &bytes).is_err());
    }
}
