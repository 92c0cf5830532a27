//! Rows from record batches: single values, all fields as one object, or the whole row.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampNanosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, Int64Array, RecordBatch};
use model::schema::{ArrowType, COLUMNS, Column, ColumnSlot};
use model::text::hex;
use model::{Details, ExecId, Extended, TracerName, Tracking, WallTime};
use serde_json::{Map, Value};

use crate::layout::{ID, OTHER, kind};
use crate::rows::zoned;

/// The value of a column in a row of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// The row has no value.
    Null,
    /// A whole number.
    Int(i64),
    /// A text in valid UTF-8.
    Text(&'a str),
    /// A local time.
    Local(WallTime),
    /// A point in time, in nanoseconds since 1970, UTC.
    Utc(i64),
}

/// Reads rows of a batch. Columns that the batch lacks are null: it may have been read without them.
#[derive(Debug)]
pub struct BatchRows {
    /// Indexes of the columns of a row, in the order of [`COLUMNS`].
    columns: Vec<Option<ArrayRef>>,
    fields: Vec<FieldColumn>,
    other: Option<ArrayRef>,
    rows: usize,
    first_id: i64,
    /// Numbers of the rows, if they do not follow `first_id` in order.
    ids: Option<Int64Array>,
}

#[derive(Debug)]
struct FieldColumn {
    name: String,
    kind: ArrowType,
    values: ArrayRef,
    /// Index in `fields` of the local time that belongs to a point in time.
    local: Option<usize>,
}

impl BatchRows {
    /// Prepares the batch. `first_id` is the number of its first row, unless the batch has a column `id`.
    pub fn new(batch: &RecordBatch, first_id: i64) -> Self {
        let columns = COLUMNS.iter().map(|column| batch.column_by_name(column.name()).cloned()).collect();
        let schema = batch.schema();
        let mut fields = Vec::<FieldColumn>::new();
        for (field, values) in schema.fields().iter().zip(batch.columns()) {
            let (name, kind) = (field.name(), kind(field.data_type()));
            if name == ID || COLUMNS.iter().any(|column| column.name() == name) {
                continue;
            }
            let Some(kind) = kind else { continue };
            fields.push(FieldColumn { name: name.clone(), kind, values: values.clone(), local: None });
        }
        for index in 0..fields.len() {
            let local = fields[index].name.strip_suffix("_time");
            fields[index].local = local.and_then(|local| fields.iter().position(|field| field.name == local));
        }
        let ids = batch.column_by_name(ID).and_then(|ids| ids.as_primitive_opt().cloned());
        // Most batches have no other fields in any row.
        let is_empty = |other: &ArrayRef| other.as_map_opt().is_some_and(|map| map.entries().is_empty());
        let other = batch.column_by_name(OTHER).filter(|other| !is_empty(other)).cloned();
        let rows = batch.num_rows();
        Self { columns, fields, other, rows, first_id, ids }
    }

    /// Returns the number of a row in its stream.
    pub fn id(&self, row: usize) -> i64 {
        self.ids.as_ref().map_or(self.first_id + row as i64, |ids| ids.value(row))
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the value of a column other than `extended`.
    pub fn cell(&self, row: usize, column: Column) -> Cell<'_> {
        let index = COLUMNS.iter().position(|known| *known == column);
        let values = index.and_then(|index| self.columns.get(index)?.as_ref());
        let Some(values) = values.filter(|values| values.is_valid(row)) else { return Cell::Null };
        match kind(values.data_type()) {
            Some(ArrowType::Int64) => Cell::Int(values.as_primitive::<Int64Type>().value(row)),
            Some(ArrowType::Utf8) => Cell::Text(values.as_string::<i32>().value(row)),
            Some(ArrowType::LocalTime) => Cell::Local(local(values, row)),
            Some(ArrowType::TimestampUtc) => Cell::Utc(utc(values, row)),
            _ => Cell::Null,
        }
    }

    /// Returns whether a row has this field, if the column of the field and the map of other fields were read.
    pub fn has_field(&self, row: usize, name: &str) -> bool {
        let is_there = |field: &FieldColumn| field.name == name && field.values.is_valid(row);
        self.fields.iter().any(is_there) || self.is_in_map(row, name)
    }

    /// Returns whether a row has this field in the map of other fields; false if the map was not read.
    pub(crate) fn is_in_map(&self, row: usize, name: &str) -> bool {
        let other = self.other.as_ref().filter(|other| other.is_valid(row));
        other.is_some_and(|other| {
            let entries = other.as_map().value(row);
            entries.column(0).as_string::<i32>().iter().any(|known| known == Some(name))
        })
    }

    /// Returns all fields of `extended`. Those of the map come last, because they replace others of the same name.
    pub fn extended(&self, row: usize) -> Map<String, Value> {
        let mut fields = Map::new();
        for field in self.fields.iter().filter(|field| field.values.is_valid(row)) {
            let local = field.local.map(|local| &self.fields[local].values);
            fields.insert(field.name.clone(), json(&field.values, field.kind, row, local));
        }
        let other = self.other.as_ref().filter(|other| other.is_valid(row));
        if let Some(entries) = other.map(|other| other.as_map().value(row)) {
            let (names, values) =
                (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
            for (name, value) in names.iter().zip(values).filter_map(|(name, value)| name.zip(value)) {
                fields.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into()));
            }
        }
        fields
    }

    /// Returns the row as it was written. Its own details are plain fields.
    pub fn tracking(&self, tracer: &TracerName, row: usize) -> Tracking {
        let extended = Extended::new(Details::Fields(self.extended(row)));
        let mut tracking = Tracking::new(tracer.clone(), WallTime(0), extended);
        tracking.dt = None;
        for column in COLUMNS {
            let value = self.cell(row, *column);
            match (tracking.slot(*column), value) {
                (ColumnSlot::Int(slot), Cell::Int(number)) => *slot = Some(number),
                (ColumnSlot::Text(slot), Cell::Text(text)) => *slot = Some(text.into()),
                (ColumnSlot::Shared(slot), Cell::Text(text)) => *slot = Some(text.into()),
                (ColumnSlot::ExecId(slot), Cell::Text(text)) => *slot = exec_id(text),
                (ColumnSlot::Time(slot), Cell::Local(at)) => *slot = Some(at),
                (ColumnSlot::Zoned(slot), Cell::Utc(at)) => {
                    let local = match self.cell(row, Column::Dt) {
                        Cell::Local(local) => local,
                        _ => WallTime(at.div_euclid(1000)),
                    };
                    *slot = Some(zoned(at, local));
                }
                _ => {}
            }
        }
        tracking
    }
}

fn exec_id(text: &str) -> Option<ExecId> {
    let (pid, start_ns) = text.split_once('-')?;
    Some(ExecId { pid: pid.parse().ok()?, start_ns: start_ns.parse().ok()? })
}

fn local(values: &ArrayRef, row: usize) -> WallTime {
    WallTime(values.as_primitive::<TimestampMicrosecondType>().value(row))
}

fn utc(values: &ArrayRef, row: usize) -> i64 {
    values.as_primitive::<TimestampNanosecondType>().value(row)
}

fn number<T: ArrowPrimitiveType>(values: &ArrayRef, row: usize) -> Value
where
    T::Native: Into<Value>,
{
    values.as_primitive::<T>().value(row).into()
}

/// Returns a value as in JSON output. `of` has the local times for a column of points in time.
fn json(values: &ArrayRef, kind: ArrowType, row: usize, of: Option<&ArrayRef>) -> Value {
    match kind {
        ArrowType::Bool => values.as_boolean().value(row).into(),
        ArrowType::Int32 => number::<Int32Type>(values, row),
        ArrowType::Int64 => number::<Int64Type>(values, row),
        ArrowType::UInt8 => number::<UInt8Type>(values, row),
        ArrowType::UInt16 => number::<UInt16Type>(values, row),
        ArrowType::UInt32 => number::<UInt32Type>(values, row),
        ArrowType::UInt64 => number::<UInt64Type>(values, row),
        ArrowType::Utf8 => values.as_string::<i32>().value(row).into(),
        ArrowType::Binary => hex(values.as_binary::<i32>().value(row)).into(),
        ArrowType::LocalTime => local(values, row).to_text().into(),
        ArrowType::TimestampUtc => {
            let at = utc(values, row);
            let of = of.filter(|of| of.is_valid(row)).map(|of| local(of, row));
            zoned(at, of.unwrap_or(WallTime(at.div_euclid(1000)))).to_text().into()
        }
        ArrowType::List(ArrowType::Binary) => {
            values.as_list::<i32>().value(row).as_binary::<i32>().iter().flatten().map(hex).collect()
        }
        ArrowType::List(_) => {
            values.as_list::<i32>().value(row).as_string::<i32>().iter().flatten().collect()
        }
        ArrowType::Struct => Value::Null,
    }
}

impl BatchRows {
    /// Returns the values of a column or field; `None` if the batch lacks it, or was read without it.
    pub(crate) fn array(&self, name: &str) -> Option<&ArrayRef> {
        if name == OTHER {
            return self.other.as_ref();
        }
        match COLUMNS.iter().position(|column| column.name() == name) {
            Some(index) => self.columns.get(index)?.as_ref(),
            None => self.fields.iter().find(|field| field.name == name).map(|field| &field.values),
        }
    }
}
