//! The columns of a tracer's batches. A built-in tracer has the columns of every row, then its fields from the one table of
//! fields ([`FIELDS`]). The fields of other tracers (shell and child processes, templates, a user's own object) become columns
//! when a row first has them. What has no column, or a value that does not fit its column, is in the last column, a map.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Fields, Schema, SchemaRef, TimeUnit};
use model::extended::Field;
use model::schema::{ArrowType, COLUMNS, Column, FIELDS, Field as Known, Tracers};
use model::{LOSS, MANIFEST, RETENTION};
use serde_json::Value;

/// Name of the column of sealed files with the numbers of rows.
pub(crate) const ID: &str = "id";
/// Name of the last column: a map from names of fields to their values as JSON.
pub const OTHER: &str = "other";
/// Number of fields without an entry in [`FIELDS`] that become columns. Programs choose these names.
const OWN_FIELDS: usize = 64;
/// Length of the longest name that becomes a column, in bytes.
const NAME_LENGTH: usize = 64;

/// A column of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayoutColumn {
    pub(crate) name: String,
    pub(crate) kind: ArrowType,
    /// The column of a row that it holds; `None` if it holds a field of `extended`.
    pub(crate) of: Option<Column>,
    /// Whether any row has had a value in it so far. Batches have only such columns: on most machines half of all columns are never
    /// used, such as those about containers and names that are not UTF-8.
    pub(crate) is_used: bool,
}

/// The columns that a tracer's rows can have, without the last one. A column is never removed, and a used one stays used.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<LayoutColumn>,
    indexes: HashMap<String, usize>,
    own_fields: usize,
    used: usize,
}

impl Layout {
    /// Returns the layout that a tracer of this name begins with.
    pub fn of(tracer: &str) -> Self {
        let mut layout = Self { columns: Vec::new(), indexes: HashMap::new(), own_fields: 0, used: 0 };
        for column in COLUMNS.iter().filter(|column| **column != Column::Extended) {
            layout.push(column.name(), column.arrow(), Some(*column));
        }
        let is_kernel = is_kernel_tracer(tracer);
        for field in FIELDS.iter().filter(|field| writes(field.tracers, tracer, is_kernel)) {
            layout.push(field.name, field.arrow, None);
        }
        let time = layout.columns.iter().position(|column| column.of == Some(Column::Time));
        // Every row has a time, and readers rely on it.
        time.into_iter().for_each(|time| layout.set_used(time));
        layout
    }

    /// Returns the layout with the columns that batches of an earlier run had. These are used.
    pub fn continuing(mut self, schema: &Schema) -> Self {
        for field in schema.fields() {
            let Some(kind) = kind(field.data_type()) else { continue };
            let known = self.columns.iter().position(|column| column.name == *field.name());
            let index = known.unwrap_or_else(|| {
                self.own_fields += usize::from(Known::named(field.name()).is_none());
                self.push(field.name(), kind, None);
                self.columns.len() - 1
            });
            self.set_used(index);
        }
        self
    }

    /// Notes that rows have values in a column.
    pub(crate) fn set_used(&mut self, index: usize) {
        let column = &mut self.columns[index];
        self.used += usize::from(!column.is_used);
        column.is_used = true;
    }

    /// Returns the number of columns that are used. Two layouts of one stream with the same number are the same.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn columns(&self) -> &[LayoutColumn] {
        &self.columns
    }

    /// Returns the index of the field's column.
    pub(crate) fn index(&self, field: &str) -> Option<usize> {
        self.indexes.get(field).copied()
    }

    /// Adds a column for a field that has none; `None` if the field can't have one. Its type is that of the table of fields, or
    /// that of the value.
    pub(crate) fn add(&mut self, field: &str, value: &Field<'_>) -> Option<&LayoutColumn> {
        let plain =
            field.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let reserved = field == OTHER || field == "id" || Column::named(field).is_some();
        if !plain || reserved || field.is_empty() || field.len() > NAME_LENGTH {
            return None;
        }
        // Exact bytes and times are columns only in rows whose layout says so: other programs' texts may look the same.
        let of_value = kind_of(value)?;
        let known = Known::named(field).map(|known| known.arrow).filter(|known| holds(*known, of_value));
        if Known::named(field).is_none() {
            if self.own_fields == OWN_FIELDS {
                return None;
            }
            self.own_fields += 1;
        }
        self.push(field, known.unwrap_or(of_value), None);
        self.columns.last()
    }

    fn push(&mut self, name: &str, kind: ArrowType, of: Option<Column>) {
        if of.is_none() {
            self.indexes.insert(name.to_owned(), self.columns.len());
        }
        self.columns.push(LayoutColumn { name: name.to_owned(), kind, of, is_used: false });
    }

    /// Returns the columns that are used, as Arrow describes them.
    pub fn schema(&self) -> SchemaRef {
        self.schema_of(|column| column.is_used)
    }

    /// Returns the columns that every row has, as Arrow describes them: all sealed files have them, so that another program finds
    /// them in each.
    pub(crate) fn row_schema(&self) -> SchemaRef {
        self.schema_of(|column| column.of.is_some())
    }

    fn schema_of(&self, has: impl Fn(&LayoutColumn) -> bool) -> SchemaRef {
        let columns = self.columns.iter().filter(|column| has(column)).map(|column| {
            ArrowField::new(&column.name, data_type(column.kind), column.of != Some(Column::Time))
        });
        let other = ArrowField::new(OTHER, other_type(), true);
        Arc::new(Schema::new(columns.chain([other]).collect::<Vec<_>>()))
    }
}

/// Returns whether kernel tracers of this name are built in: those that the table of fields names.
fn is_kernel_tracer(tracer: &str) -> bool {
    let names = |tracers| matches!(tracers, Tracers::Only(names) if names.contains(&tracer));
    ![LOSS, MANIFEST, RETENTION].contains(&tracer) && FIELDS.iter().any(|field| names(field.tracers))
}

fn writes(tracers: Tracers, tracer: &str, is_kernel: bool) -> bool {
    match tracers {
        Tracers::All => true,
        Tracers::Kernel => is_kernel,
        Tracers::KernelOr(other) => is_kernel || other == tracer,
        // The field is added when a row has it.
        Tracers::Shell => false,
        Tracers::Only(names) => names.contains(&tracer),
    }
}

/// Returns the type of column that a value of another program's field gets.
fn kind_of(value: &Field<'_>) -> Option<ArrowType> {
    const TEXTS: ArrowType = ArrowType::List(&ArrowType::Utf8);
    Some(match value {
        Field::Bool(_) => ArrowType::Bool,
        Field::Int(_) => ArrowType::Int64,
        Field::Uint(_) => ArrowType::UInt64,
        Field::Str(_) => ArrowType::Utf8,
        Field::Names(_) | Field::Texts(_) => TEXTS,
        Field::Json(value) => match value.as_ref() {
            Value::Bool(_) => ArrowType::Bool,
            Value::Number(number) if number.is_i64() => ArrowType::Int64,
            Value::Number(number) if number.is_u64() => ArrowType::UInt64,
            Value::String(_) => ArrowType::Utf8,
            Value::Array(items) if items.iter().all(Value::is_string) => TEXTS,
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
        },
    })
}

/// Returns whether values of the type `of` fit into a column of the type `known`, or most of them.
fn holds(known: ArrowType, of: ArrowType) -> bool {
    known == of || (known.is_number() && of.is_number())
}

/// Returns Arrow's type for a column.
pub(crate) fn data_type(kind: ArrowType) -> DataType {
    match kind {
        ArrowType::Bool => DataType::Boolean,
        ArrowType::Int32 => DataType::Int32,
        ArrowType::Int64 => DataType::Int64,
        ArrowType::UInt8 => DataType::UInt8,
        ArrowType::UInt16 => DataType::UInt16,
        ArrowType::UInt32 => DataType::UInt32,
        ArrowType::UInt64 => DataType::UInt64,
        ArrowType::Utf8 => DataType::Utf8,
        ArrowType::Binary => DataType::Binary,
        ArrowType::LocalTime => DataType::Timestamp(TimeUnit::Microsecond, None),
        ArrowType::TimestampUtc => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        ArrowType::List(of) => DataType::List(Arc::new(ArrowField::new_list_field(data_type(*of), true))),
        ArrowType::Struct => other_type(),
    }
}

/// Returns the type of a column of that Arrow type; `None` for the last column, and for types of later versions.
pub(crate) fn kind(data_type: &DataType) -> Option<ArrowType> {
    Some(match data_type {
        DataType::Boolean => ArrowType::Bool,
        DataType::Int32 => ArrowType::Int32,
        DataType::Int64 => ArrowType::Int64,
        DataType::UInt8 => ArrowType::UInt8,
        DataType::UInt16 => ArrowType::UInt16,
        DataType::UInt32 => ArrowType::UInt32,
        DataType::UInt64 => ArrowType::UInt64,
        DataType::Utf8 => ArrowType::Utf8,
        DataType::Binary => ArrowType::Binary,
        DataType::Timestamp(TimeUnit::Microsecond, None) => ArrowType::LocalTime,
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => ArrowType::TimestampUtc,
        DataType::List(of) if *of.data_type() == DataType::Utf8 => ArrowType::List(&ArrowType::Utf8),
        DataType::List(of) if *of.data_type() == DataType::Binary => ArrowType::List(&ArrowType::Binary),
        _ => return None,
    })
}

/// Returns the type of the last column.
fn other_type() -> DataType {
    let entries = Fields::from(vec![
        ArrowField::new(ArrowField::MAP_KEY_FIELD_DEFAULT_NAME, DataType::Utf8, false),
        ArrowField::new(ArrowField::MAP_VALUE_FIELD_DEFAULT_NAME, DataType::Utf8, true),
    ]);
    let entries =
        ArrowField::new(ArrowField::MAP_ENTRIES_FIELD_DEFAULT_NAME, DataType::Struct(entries), false);
    DataType::Map(Arc::new(entries), false)
}
