//! Conditions that select rows, and the rows of a batch that fulfil them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use model::schema::Column;

use crate::decode::BatchRows;
use crate::layout::OTHER;
use crate::typed::{Sought, Value, Values};

/// Number of values from which a condition looks them up in a table, and reads no bloom filters.
const MANY: usize = 64;

/// A condition: a column has one of some values.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of the column.
    pub column: String,
    /// The values. A value of the column with a type that is not compared with theirs fulfils the condition, too.
    pub values: Vec<Sought>,
    /// True if rows that have the column's name in the map of other fields fulfil the condition, too: what is there is the row's value.
    pub is_field: bool,
    /// Name of a field: rows that have it fulfil the condition, too.
    pub or_has: Option<&'static str>,
}

impl Condition {
    /// Returns the condition that the value of a column is one of these.
    pub fn new(column: &str, values: Vec<Sought>) -> Self {
        Self { column: column.to_owned(), values, is_field: false, or_has: None }
    }

    /// Returns whether there are so many values that nearly each bloom filter would have one of them.
    pub(crate) fn has_many(&self) -> bool {
        self.values.len() >= MANY
    }

    /// Returns whether the column of that name is read to test rows.
    fn reads(&self, name: &str) -> bool {
        self.column == name
            || self.or_has == Some(name)
            || (name == OTHER && (self.is_field || self.or_has.is_some()))
    }
}

/// Selects rows by their time, and by conditions that all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The earliest time of a row, in nanoseconds since 1970, UTC.
    pub since: i64,
    /// The latest time of a row.
    pub until: i64,
    /// Conditions, of which all must hold.
    pub conditions: Vec<Condition>,
}

impl Default for Selection {
    /// Returns the selection of all rows.
    fn default() -> Self {
        Self { since: i64::MIN, until: i64::MAX, conditions: Vec::new() }
    }
}

impl Selection {
    /// Returns whether all rows are selected.
    pub fn is_all(&self) -> bool {
        !self.has_bounds() && self.conditions.is_empty()
    }

    fn has_bounds(&self) -> bool {
        (self.since, self.until) != (i64::MIN, i64::MAX)
    }

    /// Returns whether the column of that name is read to test rows.
    pub(crate) fn reads(&self, name: &str) -> bool {
        (self.has_bounds() && name == Column::Time.name())
            || self.conditions.iter().any(|condition| condition.reads(name))
    }

    /// Returns the selected rows of a batch that has the columns to test. They are ranges in ascending order.
    pub(crate) fn rows_of(&self, batch: &RecordBatch) -> Vec<std::ops::Range<usize>> {
        let rows = BatchRows::new(batch, 0);
        let times = self.has_bounds().then(|| Values::of(&rows, Column::Time.name()));
        let tests: Vec<_> = self.conditions.iter().map(|condition| Test::new(condition, &rows)).collect();
        let is_in_time = |row: usize| match times.as_ref().map(|times| times.value(row)) {
            Some(Value::Int(at)) => (self.since..=self.until).contains(&at),
            _ => true,
        };
        let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
        for row in 0..batch.num_rows() {
            if !is_in_time(row) || !tests.iter().all(|test| test.passes(row)) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => ranges.push(row..row + 1),
            }
        }
        ranges
    }
}

/// A condition and the columns of a batch that it is tested on.
struct Test<'a> {
    condition: &'a Condition,
    rows: &'a BatchRows,
    values: Values,
    /// The values looked for, if they are many.
    table: Option<Table<'a>>,
}

/// Values by their types.
#[derive(Default)]
struct Table<'a> {
    ints: HashSet<i64>,
    texts: HashSet<&'a str>,
    bytes: HashSet<&'a [u8]>,
}

impl<'a> Table<'a> {
    fn of(values: &'a [Sought]) -> Self {
        let mut table = Self::default();
        for value in values {
            match value {
                Sought::Int(number) => table.ints.insert(*number),
                Sought::Text(text) => table.texts.insert(text),
                Sought::Bytes(bytes) => table.bytes.insert(bytes),
            };
        }
        table
    }

    /// Returns whether the value in a row can be one of these.
    fn can_have(&self, values: &Values, row: usize) -> bool {
        let (ints, texts, bytes) = (!self.ints.is_empty(), !self.texts.is_empty(), !self.bytes.is_empty());
        match values.value(row) {
            Value::Null => false,
            Value::Int(number) => self.ints.contains(&number) || texts || bytes,
            Value::Text(text) if matches!(values, Values::Text(_)) => {
                self.texts.contains(&*text) || ints || bytes
            }
            Value::Bytes(found) => self.bytes.contains(found) || ints || texts,
            Value::Real(_) | Value::Text(_) => true,
        }
    }
}

impl<'a> Test<'a> {
    fn new(condition: &'a Condition, rows: &'a BatchRows) -> Self {
        let values = Values::of(rows, &condition.column);
        let table = condition.has_many().then(|| Table::of(&condition.values));
        Self { condition, rows, values, table }
    }

    fn passes(&self, row: usize) -> bool {
        let can_be = match &self.table {
            Some(table) => table.can_have(&self.values, row),
            None => self.condition.values.iter().any(|sought| self.values.can_be(row, sought)),
        };
        can_be
            || self.condition.or_has.is_some_and(|field| self.rows.has_field(row, field))
            || (self.condition.is_field && self.rows.is_in_map(row, &self.condition.column))
    }
}

/// Counts how batches were read, from all threads.
#[derive(Debug, Default)]
pub struct Reads {
    skipped: AtomicU64,
    tested: AtomicU64,
    read: AtomicU64,
}

/// Numbers of batches and row groups, by how they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Number of those of which nothing was read, because statistics or bloom filters say that no row is selected.
    pub skipped: u64,
    /// Number of those of which only the columns to test were read: no row is selected.
    pub tested: u64,
    /// Number of those of which rows were read.
    pub read: u64,
}

impl Reads {
    pub(crate) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Skipped => &self.skipped,
            Outcome::Tested => &self.tested,
            Outcome::Read => &self.read,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the numbers until now.
    pub fn counts(&self) -> ReadCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts { skipped: of(&self.skipped), tested: of(&self.tested), read: of(&self.read) }
    }
}

/// How a batch was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Skipped,
    Tested,
    Read,
}
