//! Puts the rows of batches in order of time, with a bounded number of rows in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampNanosecondType};
use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use model::schema::Column;
use rusqlite::Connection;

use crate::layout::{ID, OTHER};
use crate::read::{Batch, Reader};
use crate::rows::size;
use crate::sought::Selection;
use crate::{Error, read};

/// Number of rows of a row group. A whole one is in memory when it is written and when it is read.
const GROUP_ROWS: usize = 32 << 10;
/// Size of the values, in bytes, at which a row group is written although it has fewer rows.
const GROUP_BYTES: usize = 24 << 20;
/// The same for wide rows. More copies of their values are in memory at a time, because few values repeat.
const WIDE_GROUP_BYTES: usize = 6 << 20;
/// Average size of a row, in bytes, from which rows are wide.
const WIDE: usize = 4 << 10;

/// The rows of some batches in order of time, one row group after the other. If batches overlap in time by more rows than a row
/// group has, row groups overlap, too; each is in order.
pub(crate) struct InOrder<'a> {
    reader: &'a Reader,
    connection: &'a Connection,
    schema: SchemaRef,
    waiting: VecDeque<Batch>,
    pending: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// Batches that can't be read, with the reason.
    pub(crate) damaged: Vec<(Batch, String)>,
}

/// Position of a row: time, number, index of its batch, and its index there.
type Position = (i64, i64, usize, usize);

impl<'a> InOrder<'a> {
    /// Begins to read batches, all of which have columns of this schema.
    pub(crate) fn new(
        reader: &'a Reader,
        connection: &'a Connection,
        schema: SchemaRef,
        mut batches: Vec<Batch>,
    ) -> Self {
        batches.sort_by_key(|batch| (batch.first, batch.first_id));
        let (pending, damaged) = (Vec::new(), Vec::new());
        Self { reader, connection, schema, waiting: batches.into(), pending, rows: 0, bytes: 0, damaged }
    }

    /// Returns the next row group.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let bound = self.waiting.front().map(|batch| batch.first);
            if self.rows >= GROUP_ROWS || self.bytes >= self.most() || bound.is_none() {
                if self.rows == 0 {
                    return Ok(None);
                }
                let failed = |source| Error::Encode { tracer: String::new(), source };
                if let Some(group) = self.take_group(bound).map_err(failed)? {
                    return Ok(Some(group));
                }
            }
            let Some(batch) = self.waiting.pop_front() else { continue };
            match self.reader.read(self.connection, &batch, &|_| true, &Selection::default()) {
                Ok(rows) => {
                    let failed = |source| Error::Decode { what: batch.name(), source };
                    self.add(adapt(&rows, &self.schema, batch.first_id).map_err(failed)?);
                }
                Err(Error::Decode { what, source }) if read::is_damage(&source) => {
                    self.damaged.push((batch, format!("{what}: {source}")));
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Returns the size that a row group may have, in bytes.
    fn most(&self) -> usize {
        if self.bytes >= self.rows * WIDE { WIDE_GROUP_BYTES } else { GROUP_BYTES }
    }

    fn add(&mut self, rows: RecordBatch) {
        self.rows += rows.num_rows();
        self.bytes += size(&rows);
        self.pending.push(rows);
    }

    /// Takes the earliest of the pending rows, at most a row group of them. Rows from `bound` on wait for those of the next batch,
    /// unless too many are pending.
    fn take_group(&mut self, bound: Option<i64>) -> Result<Option<RecordBatch>, ArrowError> {
        let is_too_much = self.rows >= 2 * GROUP_ROWS || self.bytes >= 2 * self.most();
        let mut order = self.order()?;
        let due = bound.map_or(order.len(), |bound| order.partition_point(|(time, ..)| *time < bound));
        let due = if is_too_much { order.len() } else { due };
        // By bytes, too, if rows are large.
        let share = (self.rows * self.most()).checked_div(self.bytes).unwrap_or(GROUP_ROWS).max(1);
        let count = due.min(GROUP_ROWS).min(share);
        if count == 0 || (!is_too_much && bound.is_some() && count < GROUP_ROWS.min(share) / 2) {
            return Ok(None);
        }
        let rest = order.split_off(count);
        let (group, rest) = (self.gather(&order)?, self.gather(&rest)?);
        self.pending.clear();
        (self.rows, self.bytes) = (0, 0);
        if rest.num_rows() > 0 {
            self.add(rest);
        }
        Ok(Some(group))
    }

    /// Returns the positions of all pending rows in order of time, and rows of one time in order of their numbers.
    fn order(&self) -> Result<Vec<Position>, ArrowError> {
        let mut order = Vec::with_capacity(self.rows);
        for (index, batch) in self.pending.iter().enumerate() {
            let column = |name| batch.column_by_name(name);
            let times =
                column(Column::Time.name()).and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>());
            let ids = column(ID).and_then(|it| it.as_primitive_opt::<Int64Type>());
            let (Some(times), Some(ids)) = (times, ids) else {
                return Err(ArrowError::SchemaError("rows have no time".to_owned()));
            };
            let rows = times.values().iter().zip(ids.values()).enumerate();
            order.extend(rows.map(|(row, (time, id))| (*time, *id, index, row)));
        }
        if !order.is_sorted() {
            order.sort_unstable();
        }
        Ok(order)
    }

    fn gather(&self, order: &[Position]) -> Result<RecordBatch, ArrowError> {
        let indexes: Vec<_> = order.iter().map(|(_, _, batch, row)| (*batch, *row)).collect();
        let gather = |column: usize| {
            let parts: Vec<&dyn arrow_array::Array> =
                self.pending.iter().map(|batch| batch.column(column).as_ref()).collect();
            // Most columns of most rows are null.
            if parts.iter().all(|part| part.null_count() == part.len()) {
                return Ok(new_null_array(parts[0].data_type(), indexes.len()));
            }
            interleave(&parts, &indexes)
        };
        let columns = (0..self.schema.fields().len()).map(gather);
        RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)
    }
}

/// Returns the rows with the columns of the schema: with numbers, and with nulls in columns that they lack.
fn adapt(rows: &RecordBatch, schema: &SchemaRef, first_id: i64) -> Result<RecordBatch, ArrowError> {
    for (field, values) in rows.schema().fields().iter().zip(rows.columns()) {
        let is_empty = values.as_map_opt().is_some_and(|map| map.entries().is_empty());
        if !is_empty && values.null_count() < values.len() && schema.index_of(field.name()).is_err() {
            let what =
                format!("the column {} has values, and its batch states that it has none", field.name());
            return Err(ArrowError::SchemaError(what));
        }
    }
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match rows.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None if field.name() == ID => {
                Arc::new(Int64Array::from_iter_values(first_id..first_id + rows.num_rows() as i64))
            }
            None => new_null_array(field.data_type(), rows.num_rows()),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect())
}

/// Batches whose columns fit into one file.
pub(crate) struct Group {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<Batch>,
}

/// Divides batches into groups: a batch in which a column has another type than in those before is in another group. Each group
/// also has the columns of `always`, which its batches may lack.
pub(crate) fn groups(batches: Vec<(Batch, SchemaRef)>, always: &SchemaRef) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (batch, schema) in batches {
        let found = groups.iter_mut().find_map(|group| Some((union(&group.schema, &schema)?, group)));
        if let Some((schema, group)) = found {
            group.schema = schema;
            group.batches.push(batch);
        } else if let Some(schema) =
            union(always, &schema).or_else(|| union(&Arc::new(Schema::empty()), &schema))
        {
            groups.push(Group { schema, batches: vec![batch] });
        }
    }
    groups
}

/// Returns all columns of two schemas, with the numbers of rows first and the map of other fields last; `None` if a column has
/// two types.
fn union(one: &SchemaRef, other: &SchemaRef) -> Option<SchemaRef> {
    if one == other && one.field_with_name(ID).is_ok() {
        return Some(one.clone());
    }
    let mut fields = vec![Arc::new(Field::new(ID, DataType::Int64, false))];
    let mut last = None;
    for field in one.fields().iter().chain(other.fields()) {
        if field.name() == OTHER {
            last = Some(field.clone());
        } else if let Some(known) = fields.iter().find(|known| known.name() == field.name()) {
            if known.data_type() != field.data_type() {
                return None;
            }
        } else {
            fields.push(field.clone());
        }
    }
    fields.extend(last);
    Some(Arc::new(Schema::new(fields)))
}
