//! Rows become record batches: the columns of a batch grow row by row.

mod column;
mod hex;

use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use model::extended::Field;
use model::schema::{Column, ColumnValue};
use model::{Tracking, ZonedTime};

use crate::layout::{Layout, LayoutColumn};
pub(crate) use column::zoned;
use column::{LastId, Values};

/// Rows of one tracer on their way into a batch.
#[derive(Debug)]
pub struct Rows {
    layout: Layout,
    columns: Vec<Growing>,
    other: MapBuilder<StringBuilder, StringBuilder>,
    rows: usize,
    /// The columns that were used in the batch before, as Arrow describes them, and their number.
    schema: Option<(usize, SchemaRef)>,
    last_id: LastId,
    /// Times of the first and the last row, in order of time.
    span: Option<(i64, i64)>,
}

/// A column of a batch that grows.
#[derive(Debug)]
struct Growing {
    values: Values,
    /// Number of rows for which a value or a null was appended. Missing nulls are appended before the next value.
    filled: usize,
    of: Option<Column>,
    /// Index of the field with the local time that belongs to a point in time.
    local: Option<usize>,
    /// The index of the field that followed this one in the row before: mostly it follows again.
    next: usize,
}

impl Growing {
    /// Appends nulls for the rows that have nothing in this column yet.
    fn pad(&mut self, rows: usize) {
        if self.filled < rows {
            self.values.push_nulls(rows - self.filled);
            self.filled = rows;
        }
    }
}

impl Rows {
    /// Begins a batch of that layout.
    pub fn new(layout: Layout) -> Self {
        let mut rows = Self {
            columns: Vec::new(),
            other: new_other(),
            rows: 0,
            schema: None,
            last_id: LastId::default(),
            span: None,
            layout: layout.clone(),
        };
        for column in layout.columns() {
            rows.add_column(column);
        }
        rows
    }

    fn add_column(&mut self, column: &LayoutColumn) {
        let local = column.name.strip_suffix("_time").and_then(|local| self.layout.index(local));
        let (values, of) = (Values::new(column.kind), column.of);
        self.columns.push(Growing { values, filled: 0, of, local, next: self.columns.len() + 1 });
    }

    /// Returns the columns, which grow with new fields.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the earliest and the latest time of a row.
    pub fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// Appends a row. A row without a time gets that of its `dt`, taken as UTC.
    pub fn push(&mut self, row: &Tracking) {
        let time =
            row.time.or_else(|| row.dt.map(|dt| ZonedTime { utc_ns: dt.0.saturating_mul(1000), offset: 0 }));
        let time = time.unwrap_or_default();
        for column in &mut self.columns {
            // Those of fields follow.
            let Some(of) = column.of else { break };
            let value = if of == Column::Time { ColumnValue::Zoned(time) } else { row.value(of) };
            if !matches!(value, ColumnValue::Null) {
                column.pad(self.rows);
                column.values.push_column(value, &mut self.last_id);
                column.filled += 1;
            }
        }
        let mut last = None;
        row.extended.visit(|name, value| self.push_field(name, &value, &mut last));
        // The builder's keys and values are always appended together.
        let _ = self.other.append(true);
        self.rows += 1;
        let (first, end) = self.span.unwrap_or((time.utc_ns, time.utc_ns));
        self.span = Some((first.min(time.utc_ns), end.max(time.utc_ns)));
    }

    /// Appends a field to its column, or to the map if it has none, or does not fit, or the row has the field already.
    fn push_field(&mut self, name: &str, value: &Field<'_>, last: &mut Option<usize>) {
        let Some(index) = self.index(name, value, *last) else { return self.push_other(name, value) };
        if let Some(last) = last.and_then(|last| self.columns.get_mut(last)) {
            last.next = index;
        }
        *last = Some(index);
        let local = self.columns[index].local.map(|local| &self.columns[local]);
        let local =
            local.filter(|local| local.filled > self.rows).and_then(|local| local.values.last_local());
        let column = &mut self.columns[index];
        if column.filled > self.rows {
            return self.push_other(name, value);
        }
        column.pad(self.rows);
        if column.values.push_field(value) || column.values.push_zoned(value, local) {
            column.filled += 1;
        } else {
            self.push_other(name, value);
        }
    }

    /// Returns the index of the field's column, which is added if the field can have one.
    fn index(&mut self, name: &str, value: &Field<'_>, last: Option<usize>) -> Option<usize> {
        let guess = last.map(|last| self.columns[last].next);
        let is_there = |guess: &usize| {
            self.layout.columns().get(*guess).is_some_and(|column| column.of.is_none() && column.name == name)
        };
        if let Some(index) = guess.filter(is_there).or_else(|| self.layout.index(name)) {
            return Some(index);
        }
        let column = self.layout.add(name, value)?.clone();
        self.add_column(&column);
        Some(self.columns.len() - 1)
    }

    fn push_other(&mut self, name: &str, value: &Field<'_>) {
        self.other.keys().append_value(name);
        // All fields can be JSON.
        self.other.values().append_value(serde_json::to_string(value).unwrap_or_default());
    }

    /// Returns the batch, and begins another one with the same layout.
    ///
    /// # Errors
    /// The columns do not make a batch, which would be a bug.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.span = None;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len() + 1);
        for (index, column) in self.columns.iter_mut().enumerate() {
            let is_used = self.layout.columns()[index].is_used;
            if column.filled == 0 && !is_used {
                continue;
            }
            column.pad(rows);
            column.filled = 0;
            let values = column.values.finish();
            if !is_used && values.null_count() == rows {
                continue;
            }
            self.layout.set_used(index);
            columns.push(values);
        }
        columns.push(Arc::new(self.other.finish()));
        RecordBatch::try_new(self.schema(), columns)
    }

    /// Returns the columns that are used, as Arrow describes them.
    pub fn schema(&mut self) -> SchemaRef {
        let used = self.layout.used();
        match &self.schema {
            Some((known, schema)) if *known == used => schema.clone(),
            _ => self.schema.insert((used, self.layout.schema())).1.clone(),
        }
    }
}

/// Returns the size of a batch's values in memory, in bytes.
pub(crate) fn size(batch: &RecordBatch) -> usize {
    let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    sizes.map(|size| size.unwrap_or_default()).sum()
}

fn new_other() -> MapBuilder<StringBuilder, StringBuilder> {
    MapBuilder::new(None, StringBuilder::new(), StringBuilder::new())
}
