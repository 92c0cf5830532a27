//! Finds the rows of a batch that a selection selects.

use arrow_array::RecordBatch;
use foldhash::HashSet;
use model::schema::Column;

use crate::decode::BatchRows;
use crate::sought::{Condition, Selection, Sought};
use crate::typed::{Value, Values};

/// Returns the selected rows of a batch as ranges in ascending order. The batch has the columns that the selection tests.
pub(crate) fn rows_of(selection: &Selection, batch: &RecordBatch) -> Vec<std::ops::Range<usize>> {
    let rows = BatchRows::new(batch, 0);
    let times = selection.has_bounds().then(|| Values::of(&rows, Column::Time.name()));
    let tests: Vec<_> = selection.conditions.iter().map(|condition| Test::new(condition, &rows)).collect();
    let is_in_time = |row: usize| match times.as_ref().map(|times| times.value(row)) {
        Some(Value::Int(at)) => (selection.since..=selection.until).contains(&at),
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

/// A condition and the columns of a batch that it is tested on.
struct Test<'a> {
    condition: &'a Condition,
    rows: &'a BatchRows,
    values: Values,
    /// The values looked for, if there are many.
    table: Option<Table<'a>>,
}

/// Values looked for, by their types.
#[derive(Default)]
struct Table<'a> {
    ints: HashSet<i64>,
    texts: HashSet<&'a str>,
    prefixes: Vec<&'a str>,
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
                Sought::Prefix(prefix) => {
                    table.prefixes.push(prefix);
                    true
                }
            };
        }
        table
    }

    /// Returns whether the value in a row can be one of these.
    fn can_have(&self, values: &Values, row: usize) -> bool {
        let texts = !self.texts.is_empty() || !self.prefixes.is_empty();
        let (ints, bytes) = (!self.ints.is_empty(), !self.bytes.is_empty());
        match values.value(row) {
            Value::Null => false,
            Value::Int(number) => self.ints.contains(&number) || texts || bytes,
            Value::Text(text) if matches!(values, Values::Text(_)) => {
                self.texts.contains(&*text)
                    || self.prefixes.iter().any(|prefix| text.starts_with(prefix))
                    || ints
                    || bytes
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
