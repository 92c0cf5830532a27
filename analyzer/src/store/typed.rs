//! Reads the rows of a tracer, of all collectors, with typed values: batch by batch as they are stored, or in order of time.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use model::schema::ArrowType;
use rusqlite::Connection;
use store::typed::{Value, Values};
use store::{Batch, BatchRows, Error, Reader, Reads, Stream};

use super::reading::of_sqlite;
use super::scan::{Damaged, Fields, Found, Scan, Wanted, Wants, or_damaged};
use crate::sql::Meter;

/// Columns before those of the batches: `id`, `collector_id` and the hidden `extended`.
pub(super) const OWN: usize = 3;
/// Number of batches whose values are at hand while rows are read in order of time.
const AT_HAND: usize = 8;

/// Where the rows of a table come from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) streams: Vec<Stream>,
    /// Names and types of the columns of batches.
    pub(crate) columns: Vec<(String, ArrowType)>,
    /// Number of rows, as far as known.
    pub(crate) rows: i64,
    pub(crate) damaged: Damaged,
    pub(crate) meter: Arc<Meter>,
    pub(crate) reads: Arc<Reads>,
}

/// The part of a table that a statement reads.
#[derive(Debug)]
pub(super) struct Asked {
    /// The order and the times.
    pub(super) wanted: Wanted,
    /// Whether rows come in that order; otherwise as they are stored.
    pub(super) is_ordered: bool,
    /// True for those columns of batches that are read.
    pub(super) used: Vec<bool>,
}

impl Source {
    /// Returns which columns a statement reads. Bit 63 of `used` stands for that column and all that follow.
    pub(super) fn used(&self, used: u64) -> Vec<bool> {
        let is_used = |index: usize| used >> (index + OWN).min(63) & 1 == 1;
        (0..self.columns.len()).map(is_used).collect()
    }

    /// Returns the names to read.
    pub(super) fn wants(&self, used: &[bool], fields: bool) -> Wants {
        let names = self.columns.iter().zip(used).filter(|(_, is_used)| **is_used);
        let fields = if fields { Fields::All } else { Fields::None };
        Wants::new(names.map(|((name, _), _)| name.clone()), fields)
    }
}

/// A batch with its values found.
#[derive(Debug)]
struct Loaded {
    rows: Rc<BatchRows>,
    values: Vec<Values>,
}

impl Loaded {
    fn new(source: &Source, used: &[bool], rows: Rc<BatchRows>) -> Self {
        let columns = source.columns.iter().zip(used);
        let values = columns.map(
            |((name, _), is_used)| {
                if *is_used { Values::of(&rows, name) } else { Values::Absent }
            },
        );
        Self { values: values.collect(), rows }
    }
}

/// A row that was read.
#[derive(Debug)]
struct Current {
    loaded: Rc<Loaded>,
    row: usize,
    /// Index of the row's stream.
    stream: usize,
}

/// A scan of a table in progress.
#[derive(Debug)]
pub(super) struct TypedScan {
    source: Rc<Source>,
    asked: Asked,
    steps: Steps,
    current: Option<Current>,
}

#[derive(Debug)]
enum Steps {
    /// Batches that were not read yet with the indexes of their streams, the next one last.
    Stored { waiting: Vec<(usize, Batch)> },
    /// Rows of one stream in order; and the batches that were read last.
    Ordered { scan: Box<Scan>, at_hand: VecDeque<Rc<Loaded>> },
}

impl TypedScan {
    /// Finds the batches to read.
    pub(super) fn begin(
        connection: &Connection,
        reader: &Reader,
        source: Rc<Source>,
        asked: Asked,
    ) -> rusqlite::Result<Self> {
        let (since, until) = (asked.wanted.selection.since, asked.wanted.selection.until);
        let steps = match (asked.is_ordered, source.streams.as_slice()) {
            (true, [stream]) => {
                let scan = Scan::begin(connection, reader, stream.id, asked.wanted.clone())?;
                Steps::Ordered { scan: Box::new(scan), at_hand: VecDeque::new() }
            }
            (_, streams) => {
                let mut waiting = Vec::new();
                for (index, stream) in streams.iter().enumerate() {
                    let batches = reader.batches(connection, stream.id, since, until)?;
                    waiting.extend(batches.into_iter().map(|batch| (index, batch)));
                }
                waiting.reverse();
                Steps::Stored { waiting }
            }
        };
        Ok(Self { source, asked, steps, current: None })
    }

    /// Goes on to the next row.
    #[inline]
    pub(super) fn next(&mut self, connection: &Connection, reader: &Reader) -> rusqlite::Result<()> {
        if let (Steps::Stored { .. }, Some(current)) = (&self.steps, &mut self.current)
            && current.row + 1 < current.loaded.rows.len()
        {
            current.row += 1;
            return Ok(());
        }
        self.next_batch(connection, reader).map_err(of_sqlite)
    }

    fn next_batch(&mut self, connection: &Connection, reader: &Reader) -> Result<(), Error> {
        let (source, asked) = (&self.source, &self.asked);
        self.current = None;
        match &mut self.steps {
            Steps::Stored { waiting } => {
                while let Some((stream, batch)) = waiting.pop() {
                    source.meter.reads(batch.rows)?;
                    let Wanted { columns, selection, .. } = &asked.wanted;
                    let fields = columns.has_fields(connection, reader, &batch)?;
                    let rows = reader.select(connection, &batch, |name| columns.has(name, fields), selection);
                    let Some(rows) = or_damaged(rows, &batch, &source.damaged)? else { continue };
                    if !rows.is_empty() {
                        let loaded = Rc::new(Loaded::new(source, &asked.used, Rc::new(rows)));
                        self.current = Some(Current { loaded, row: 0, stream });
                        return Ok(());
                    }
                }
            }
            Steps::Ordered { scan, at_hand } => {
                if let Some(Found { rows, row, .. }) = scan.next(connection, reader, &source.damaged)? {
                    let loaded = match at_hand.iter().find(|loaded| Rc::ptr_eq(&loaded.rows, &rows)) {
                        Some(loaded) => loaded.clone(),
                        None => {
                            source.meter.reads(rows.len() as i64)?;
                            let loaded = Rc::new(Loaded::new(source, &asked.used, rows));
                            at_hand.truncate(AT_HAND - 1);
                            at_hand.push_front(loaded.clone());
                            loaded
                        }
                    };
                    self.current = Some(Current { loaded, row, stream: 0 });
                }
            }
        }
        Ok(())
    }

    /// Returns whether there are no more rows.
    pub(super) fn is_over(&self) -> bool {
        self.current.is_none()
    }

    /// Returns the value of a column of batches in the present row.
    #[inline]
    pub(super) fn value(&self, column: usize) -> Value<'_> {
        let Some(current) = &self.current else { return Value::Null };
        current.loaded.values.get(column).map_or(Value::Null, |values| values.value(current.row))
    }

    /// Returns the number of the present row in its stream.
    pub(super) fn id(&self) -> i64 {
        self.current.as_ref().map_or(0, |current| current.loaded.rows.id(current.row))
    }

    /// Returns a number that only the present row has in the table.
    pub(super) fn row_id(&self) -> i64 {
        // A stream has fewer than 2^48 rows.
        self.current.as_ref().map_or(0, |current| (current.stream as i64) << 48) + self.id()
    }

    /// Returns the collector of the present row.
    pub(super) fn collector_id(&self) -> &str {
        let stream = self.current.as_ref().and_then(|current| self.source.streams.get(current.stream));
        stream.map_or("", |stream| stream.collector_id.as_str())
    }

    /// Returns all fields of the present row as JSON.
    pub(super) fn extended(&self) -> String {
        let fields = self.current.as_ref().map(|current| current.loaded.rows.extended(current.row));
        serde_json::Value::Object(fields.unwrap_or_default()).to_string()
    }
}

/// Returns the type of a column in SQL.
pub(crate) fn sql_type(kind: ArrowType) -> &'static str {
    match kind {
        ArrowType::Bool
        | ArrowType::Int32
        | ArrowType::Int64
        | ArrowType::UInt8
        | ArrowType::UInt16
        | ArrowType::UInt32
        | ArrowType::UInt64
        | ArrowType::TimestampUtc => "INTEGER",
        ArrowType::Utf8 | ArrowType::LocalTime | ArrowType::List(_) | ArrowType::Struct => "TEXT",
        ArrowType::Binary => "BLOB",
    }
}
