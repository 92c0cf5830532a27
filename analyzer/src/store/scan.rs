//! Reads the rows of a stream in order, batch by batch. Batches that overlap in time are merged; only those that the present
//! row's time lies in are in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use model::lock::lock;
use model::schema::{COLUMNS, Column};
use rusqlite::Connection;
use store::{Batch, BatchRows, Cell, Error, Reader, Selection};

/// A batch whose rows can't be read: one of the store's file, or a row group of a sealed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedBatch {
    /// Name of the batch in messages.
    pub name: String,
    /// Number of its rows.
    pub rows: i64,
    /// The reason why they can't be read.
    pub cause: String,
}

/// The damaged batches that were found so far, by name.
pub(crate) type Damaged = Arc<Mutex<BTreeMap<String, DamagedBatch>>>;

/// The order in which rows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// By time, and rows of one time by the boot clock; otherwise by their numbers.
    pub(super) by_time: bool,
    /// The last comes first.
    pub(super) is_reversed: bool,
}

/// Describes what is read of a stream.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) order: Order,
    pub(super) columns: Wants,
    /// Other rows are left out.
    pub(super) selection: Selection,
}

/// The columns that are read, besides those that rows are ordered by.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    names: HashSet<String>,
    fields: Fields,
}

/// Says for which rows all fields of `extended` are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fields {
    #[default]
    None,
    /// Rows that have this field. If rows of a batch may have it, the fields of all its rows are read.
    Having(&'static str),
    All,
}

impl Wants {
    pub(super) fn new(names: impl Iterator<Item = String>, fields: Fields) -> Self {
        Self { names: names.collect(), fields }
    }

    /// Returns whether the column or field of that name is read; `fields` is true if all fields are.
    pub(super) fn has(&self, name: &str, fields: bool) -> bool {
        self.names.contains(name) || (fields && COLUMNS.iter().all(|column| column.name() != name))
    }

    /// Returns whether all fields of the rows of a batch are read.
    pub(super) fn has_fields(
        &self,
        connection: &Connection,
        reader: &Reader,
        batch: &Batch,
    ) -> Result<bool, Error> {
        match self.fields {
            Fields::None => Ok(false),
            Fields::Having(name) => reader.may_have_field(connection, batch, name),
            Fields::All => Ok(true),
        }
    }
}

/// The values that rows are ordered by: time, boot clock and number. For a reversed order each number is inverted.
type Key = [i64; 3];

/// A scan in progress.
#[derive(Debug)]
pub(super) struct Scan {
    wanted: Wanted,
    /// Batches that were not begun yet, the next one last.
    waiting: Vec<Batch>,
    begun: BinaryHeap<Reverse<Begun>>,
}

/// A batch of which rows are read.
#[derive(Debug)]
struct Begun {
    key: Key,
    rows: Rc<BatchRows>,
    /// Keys of the rows that follow, and their indexes; the next one last.
    rest: Vec<(Key, usize)>,
    row: usize,
}

/// A row in a batch.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) rows: Rc<BatchRows>,
    pub(super) row: usize,
    /// Number of the row in its stream.
    pub(super) id: i64,
}

impl Scan {
    /// Finds the batches to read.
    pub(super) fn begin(
        connection: &Connection,
        reader: &Reader,
        stream: i64,
        wanted: Wanted,
    ) -> rusqlite::Result<Self> {
        let mut waiting =
            reader.batches(connection, stream, wanted.selection.since, wanted.selection.until)?;
        waiting.sort_by_key(|batch| Reverse(bound(batch, wanted.order)));
        Ok(Self { wanted, waiting, begun: BinaryHeap::new() })
    }

    /// Returns the next row. A batch that can't be decoded is left out, and noted in `damaged`.
    pub(super) fn next(
        &mut self,
        connection: &Connection,
        reader: &Reader,
        damaged: &Damaged,
    ) -> Result<Option<Found>, Error> {
        while let Some(next) = self.waiting.last() {
            let bound = bound(next, self.wanted.order);
            let is_due = |Reverse(begun): &Reverse<Begun>| bound <= begun.key[0];
            if !self.begun.peek().is_none_or(is_due) {
                break;
            }
            let Some(batch) = self.waiting.pop() else { break };
            let begun = begin(connection, reader, &batch, &self.wanted);
            self.begun.extend(or_damaged(begun, &batch, damaged)?.flatten().map(Reverse));
        }
        let Some(mut first) = self.begun.peek_mut() else { return Ok(None) };
        let Reverse(begun) = &mut *first;
        let (rows, row) = (begun.rows.clone(), begun.row);
        let found = Found { id: rows.id(row), rows, row };
        match begun.rest.pop() {
            Some(next) => (begun.key, begun.row) = next,
            None => drop(std::collections::binary_heap::PeekMut::pop(first)),
        }
        Ok(Some(found))
    }
}

/// Returns what was read of a batch; `None` if it is damaged, which is noted.
pub(super) fn or_damaged<T>(
    read: Result<T, Error>,
    batch: &Batch,
    damaged: &Damaged,
) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Error::Decode { what: name, source }) => {
            let (rows, cause) = (batch.rows, source.to_string());
            lock(damaged).insert(name.clone(), DamagedBatch { name, rows, cause });
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

/// Returns the smallest first part of a key in a batch.
fn bound(batch: &Batch, order: Order) -> i64 {
    match (order.by_time, order.is_reversed) {
        (true, false) => batch.first,
        (true, true) => !batch.last,
        (false, false) => batch.first_id,
        (false, true) => !batch.last_id,
    }
}

fn begin(
    connection: &Connection,
    reader: &Reader,
    batch: &Batch,
    wanted: &Wanted,
) -> Result<Option<Begun>, Error> {
    let is_ordering =
        |name: &str| wanted.order.by_time && (name == Column::Time.name() || name == Column::BootNs.name());
    let fields = wanted.columns.has_fields(connection, reader, batch)?;
    let wants = |name: &str| is_ordering(name) || wanted.columns.has(name, fields);
    let rows = reader.select(connection, batch, wants, &wanted.selection)?;
    let mut rest: Vec<_> = (0..rows.len()).map(|row| (key(&rows, row, batch, wanted.order), row)).collect();
    rest.sort_unstable_by(|one, other| other.cmp(one));
    let rows = Rc::new(rows);
    Ok(rest.pop().map(|(key, row)| Begun { key, rows, rest, row }))
}

fn key(rows: &BatchRows, row: usize, batch: &Batch, order: Order) -> Key {
    let id = rows.id(row);
    let key = if order.by_time {
        let time = match rows.cell(row, Column::Time) {
            Cell::Utc(at) => at,
            _ => batch.first,
        };
        let boot_ns = match rows.cell(row, Column::BootNs) {
            Cell::Int(at) => at,
            // As SQL orders null.
            _ => i64::MIN,
        };
        [time, boot_ns, id]
    } else {
        [id, 0, 0]
    };
    if order.is_reversed { key.map(|part| !part) } else { key }
}

impl PartialEq for Begun {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Begun {}

impl PartialOrd for Begun {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Begun {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}
