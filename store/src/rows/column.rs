//! The values of one column while a batch is built.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder, TimestampNanosecondBuilder, UInt8Builder, UInt16Builder, UInt32Builder,
    UInt64Builder,
};
use model::extended::Field;
use model::schema::{ArrowType, ColumnValue};
use model::{ExecId, WallTime, ZonedTime};
use serde_json::Value;

use super::hex;

/// The values of one column; rows that were not given one are null.
#[derive(Debug)]
pub(super) enum Values {
    Bool(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    UInt8(UInt8Builder),
    UInt16(UInt16Builder),
    UInt32(UInt32Builder),
    UInt64(UInt64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Local(TimestampMicrosecondBuilder),
    Utc(TimestampNanosecondBuilder),
    Texts(ListBuilder<StringBuilder>),
    ByteTexts(ListBuilder<BinaryBuilder>),
}

/// The process identity that was written last, with its text: most rows have that of the row before.
#[derive(Debug, Default)]
pub(super) struct LastId {
    id: Option<ExecId>,
    text: String,
}

/// Runs the same code for the builder of whatever type.
macro_rules! each {
    ($values:expr, $builder:ident => $code:expr) => {
        match $values {
            Values::Bool($builder) => $code,
            Values::Int32($builder) => $code,
            Values::Int64($builder) => $code,
            Values::UInt8($builder) => $code,
            Values::UInt16($builder) => $code,
            Values::UInt32($builder) => $code,
            Values::UInt64($builder) => $code,
            Values::Text($builder) => $code,
            Values::Bytes($builder) => $code,
            Values::Local($builder) => $code,
            Values::Utc($builder) => $code,
            Values::Texts($builder) => $code,
            Values::ByteTexts($builder) => $code,
        }
    };
}

impl Values {
    /// Creates an empty column.
    pub(super) fn new(kind: ArrowType) -> Self {
        match kind {
            ArrowType::Bool => Self::Bool(BooleanBuilder::new()),
            ArrowType::Int32 => Self::Int32(Int32Builder::new()),
            ArrowType::Int64 => Self::Int64(Int64Builder::new()),
            ArrowType::UInt8 => Self::UInt8(UInt8Builder::new()),
            ArrowType::UInt16 => Self::UInt16(UInt16Builder::new()),
            ArrowType::UInt32 => Self::UInt32(UInt32Builder::new()),
            ArrowType::UInt64 => Self::UInt64(UInt64Builder::new()),
            // No table has a column of structs: `extended` is spread over columns.
            ArrowType::Utf8 | ArrowType::Struct => Self::Text(StringBuilder::new()),
            ArrowType::Binary => Self::Bytes(BinaryBuilder::new()),
            ArrowType::LocalTime => Self::Local(TimestampMicrosecondBuilder::new()),
            ArrowType::TimestampUtc => Self::Utc(TimestampNanosecondBuilder::new().with_timezone("UTC")),
            ArrowType::List(ArrowType::Binary) => Self::ByteTexts(ListBuilder::new(BinaryBuilder::new())),
            ArrowType::List(_) => Self::Texts(ListBuilder::new(StringBuilder::new())),
        }
    }

    /// Appends nulls for that many rows.
    pub(super) fn push_nulls(&mut self, count: usize) {
        each!(self, builder => builder.append_nulls(count));
    }

    /// Appends the value of a row's column.
    pub(super) fn push_column(&mut self, value: ColumnValue<'_>, last: &mut LastId) {
        match (self, value) {
            (Self::Int64(builder), ColumnValue::Int(number)) => builder.append_value(number),
            (Self::Text(builder), ColumnValue::Text(text)) => builder.append_value(text),
            (Self::Text(builder), ColumnValue::ExecId(id)) => {
                if last.id.replace(id) != Some(id) {
                    last.text = id.to_string();
                }
                builder.append_value(&last.text);
            }
            (Self::Local(builder), ColumnValue::Time(at)) => builder.append_value(at.0),
            (Self::Utc(builder), ColumnValue::Zoned(at)) => builder.append_value(at.utc_ns),
            (values, _) => values.push_nulls(1),
        }
    }

    /// Appends the value of a field. Returns false, and appends nothing, if it does not fit the column's type.
    pub(super) fn push_field(&mut self, value: &Field<'_>) -> bool {
        match self {
            Self::Bool(builder) => truth(value).map(|truth| builder.append_value(truth)),
            Self::Int32(builder) => whole(value).map(|number| builder.append_value(number)),
            Self::Int64(builder) => whole(value).map(|number| builder.append_value(number)),
            Self::UInt8(builder) => whole(value).map(|number| builder.append_value(number)),
            Self::UInt16(builder) => whole(value).map(|number| builder.append_value(number)),
            Self::UInt32(builder) => whole(value).map(|number| builder.append_value(number)),
            Self::UInt64(builder) => whole(value).map(|number| builder.append_value(number)),
            Self::Text(builder) => text(value).map(|text| builder.append_value(text)),
            Self::Bytes(builder) => text(value).and_then(hex::read).map(|bytes| builder.append_value(bytes)),
            Self::Local(builder) => {
                text(value).and_then(WallTime::parse).map(|at| builder.append_value(at.0))
            }
            // Only `push_zoned` knows whether the offset can be restored.
            Self::Utc(_) => None,
            Self::Texts(builder) => push_texts(builder, value),
            Self::ByteTexts(builder) => push_byte_texts(builder, value),
        }
        .is_some()
    }

    /// Appends a point in time whose local time is the last value of `local`. Returns false, and appends nothing, if readers
    /// could not restore the text from both.
    pub(super) fn push_zoned(&mut self, value: &Field<'_>, local: Option<WallTime>) -> bool {
        let at = text(value).and_then(|text| Some((text, ZonedTime::parse(text)?)));
        match (self, at, local) {
            (Self::Utc(builder), Some((text, at)), Some(local))
                if zoned(at.utc_ns, local).to_text() == text =>
            {
                builder.append_value(at.utc_ns);
                true
            }
            _ => false,
        }
    }

    /// Returns the last value of a column of local times.
    pub(super) fn last_local(&self) -> Option<WallTime> {
        match self {
            Self::Local(builder) => builder.values_slice().last().map(|at| WallTime(*at)),
            _ => None,
        }
    }

    /// Returns the column, and empties it.
    pub(super) fn finish(&mut self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }
}

/// Returns the point in time that is `utc_ns`, and this local time.
pub(crate) fn zoned(utc_ns: i64, local: WallTime) -> ZonedTime {
    let micros = i128::from(local.0) - i128::from(utc_ns.div_euclid(1000));
    ZonedTime { utc_ns, offset: i32::try_from(micros.div_euclid(1_000_000)).unwrap_or(0) }
}

fn truth(value: &Field<'_>) -> Option<bool> {
    match value {
        Field::Bool(truth) => Some(*truth),
        Field::Json(value) => value.as_bool(),
        _ => None,
    }
}

fn whole<T: TryFrom<i64> + TryFrom<u64>>(value: &Field<'_>) -> Option<T> {
    match value {
        Field::Int(number) => T::try_from(*number).ok(),
        Field::Uint(number) => T::try_from(*number).ok(),
        Field::Json(value) => match value.as_i64() {
            Some(number) => T::try_from(number).ok(),
            None => T::try_from(value.as_u64()?).ok(),
        },
        _ => None,
    }
}

fn text<'a>(value: &'a Field<'_>) -> Option<&'a str> {
    match value {
        Field::Str(text) => Some(text),
        Field::Json(value) => value.as_str(),
        _ => None,
    }
}

fn push_texts(builder: &mut ListBuilder<StringBuilder>, value: &Field<'_>) -> Option<()> {
    match value {
        Field::Names(names) => names.iter().for_each(|name| builder.values().append_value(name)),
        Field::Texts(texts) => texts.iter().for_each(|text| builder.values().append_value(text.to_str())),
        Field::Json(value) => {
            let items = value.as_array()?;
            if !items.iter().all(Value::is_string) {
                return None;
            }
            items.iter().filter_map(Value::as_str).for_each(|text| builder.values().append_value(text));
        }
        _ => return None,
    }
    builder.append(true);
    Some(())
}

fn push_byte_texts(builder: &mut ListBuilder<BinaryBuilder>, value: &Field<'_>) -> Option<()> {
    let Field::Json(value) = value else { return None };
    let items = value.as_array()?.iter().map(|item| hex::read(item.as_str()?));
    for bytes in items.collect::<Option<Vec<_>>>()? {
        builder.values().append_value(bytes);
    }
    builder.append(true);
    Some(())
}
