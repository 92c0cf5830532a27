//! Typed values of batches, as tables of SQL have them. A column's type is looked at once a batch, so that reading a value costs
//! little more than finding it in memory.

use std::borrow::Cow;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampNanosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
};
use model::WallTime;
use model::schema::ArrowType;
use model::text::hex;
use serde_json::{Map, Value as Json};

use crate::decode::BatchRows;
use crate::layout::{OTHER, kind};
use crate::sought::Sought;

/// A value, in a type of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// The row has no value.
    Null,
    /// A whole number; a truth value is 0 or 1; a point in time is in nanoseconds since 1970, UTC.
    Int(i64),
    /// An unsigned number that no signed 64-bit number holds, rounded.
    Real(f64),
    /// A text; a local time; a list or the map of other fields as JSON.
    Text(Cow<'a, str>),
    /// Bytes of a name, exact.
    Bytes(&'a [u8]),
}

/// The values of one column in a batch.
#[derive(Debug)]
pub enum Values {
    /// The batch lacks the column: all values are null.
    Absent,
    /// Values that are true or false.
    Bool(BooleanArray),
    /// Signed 32-bit numbers.
    Int32(PrimitiveArray<Int32Type>),
    /// Signed 64-bit numbers.
    Int64(PrimitiveArray<Int64Type>),
    /// Unsigned 8-bit numbers.
    UInt8(PrimitiveArray<UInt8Type>),
    /// Unsigned 16-bit numbers.
    UInt16(PrimitiveArray<UInt16Type>),
    /// Unsigned 32-bit numbers.
    UInt32(PrimitiveArray<UInt32Type>),
    /// Unsigned 64-bit numbers.
    UInt64(PrimitiveArray<UInt64Type>),
    /// Texts in valid UTF-8.
    Text(StringArray),
    /// Exact bytes of names and other texts.
    Bytes(BinaryArray),
    /// Local times, in microseconds.
    Local(PrimitiveArray<TimestampMicrosecondType>),
    /// Points in time.
    Utc(PrimitiveArray<TimestampNanosecondType>),
    /// Lists of texts.
    Texts(ListArray),
    /// Lists of exact bytes.
    BytesList(ListArray),
    /// The fields that have no column.
    Other(MapArray),
}

impl Values {
    /// Finds the values of a column.
    pub fn of(rows: &BatchRows, name: &str) -> Self {
        let Some(array) = rows.array(name) else { return Self::Absent };
        if name == OTHER {
            return array.as_map_opt().map_or(Self::Absent, |map| Self::Other(map.clone()));
        }
        match kind(array.data_type()) {
            Some(ArrowType::Bool) => Self::Bool(array.as_boolean().clone()),
            Some(ArrowType::Int32) => Self::Int32(array.as_primitive().clone()),
            Some(ArrowType::Int64) => Self::Int64(array.as_primitive().clone()),
            Some(ArrowType::UInt8) => Self::UInt8(array.as_primitive().clone()),
            Some(ArrowType::UInt16) => Self::UInt16(array.as_primitive().clone()),
            Some(ArrowType::UInt32) => Self::UInt32(array.as_primitive().clone()),
            Some(ArrowType::UInt64) => Self::UInt64(array.as_primitive().clone()),
            Some(ArrowType::Utf8) => Self::Text(array.as_string().clone()),
            Some(ArrowType::Binary) => Self::Bytes(array.as_binary().clone()),
            Some(ArrowType::LocalTime) => Self::Local(array.as_primitive().clone()),
            Some(ArrowType::TimestampUtc) => Self::Utc(array.as_primitive().clone()),
            Some(ArrowType::List(ArrowType::Binary)) => Self::BytesList(array.as_list().clone()),
            Some(ArrowType::List(_)) => Self::Texts(array.as_list().clone()),
            Some(ArrowType::Struct) | None => Self::Absent,
        }
    }

    /// Returns the value in a row.
    #[inline]
    pub fn value(&self, row: usize) -> Value<'_> {
        match self {
            Self::Absent => Value::Null,
            Self::Bool(array) if array.is_valid(row) => Value::Int(array.value(row).into()),
            Self::Int32(array) => int(array, row),
            Self::Int64(array) => int(array, row),
            Self::UInt8(array) => int(array, row),
            Self::UInt16(array) => int(array, row),
            Self::UInt32(array) => int(array, row),
            Self::UInt64(array) if array.is_valid(row) => {
                let number = array.value(row);
                i64::try_from(number).map_or(Value::Real(number as f64), Value::Int)
            }
            Self::Text(array) if array.is_valid(row) => Value::Text(Cow::Borrowed(array.value(row))),
            Self::Bytes(array) if array.is_valid(row) => Value::Bytes(array.value(row)),
            Self::Local(array) if array.is_valid(row) => {
                Value::Text(Cow::Owned(WallTime(array.value(row)).to_text()))
            }
            Self::Utc(array) => int(array, row),
            Self::Texts(array) if array.is_valid(row) => {
                let list = array.value(row);
                json(list.as_string::<i32>().iter().flatten().collect())
            }
            Self::BytesList(array) if array.is_valid(row) => {
                let list = array.value(row);
                json(list.as_binary::<i32>().iter().flatten().map(hex).collect())
            }
            Self::Other(array) if array.is_valid(row) => other(array, row),
            _ => Value::Null,
        }
    }

    /// Returns whether the value in a row can be the one that is looked for. A value of a type that is not compared here can.
    pub fn can_be(&self, row: usize, sought: &Sought) -> bool {
        match (self, sought) {
            (Self::Absent, _) => false,
            (Self::Int32(array), Sought::Int(number)) => is(array, row, *number),
            (Self::Int64(array), Sought::Int(number)) => is(array, row, *number),
            (Self::UInt8(array), Sought::Int(number)) => is(array, row, *number),
            (Self::UInt16(array), Sought::Int(number)) => is(array, row, *number),
            (Self::UInt32(array), Sought::Int(number)) => is(array, row, *number),
            (Self::UInt64(array), Sought::Int(number)) => {
                array.is_valid(row) && u64::try_from(*number).is_ok_and(|number| array.value(row) == number)
            }
            (Self::Utc(array), Sought::Int(number)) => is(array, row, *number),
            (Self::Text(array), Sought::Text(text)) => array.is_valid(row) && array.value(row) == text,
            (Self::Text(array), Sought::Prefix(prefix)) => {
                array.is_valid(row) && array.value(row).starts_with(prefix.as_str())
            }
            (Self::Bytes(array), Sought::Bytes(bytes)) => array.is_valid(row) && array.value(row) == bytes,
            _ => true,
        }
    }
}

#[inline]
fn int<'a, T: ArrowPrimitiveType<Native: Into<i64>>>(array: &PrimitiveArray<T>, row: usize) -> Value<'a> {
    if array.is_valid(row) { Value::Int(array.value(row).into()) } else { Value::Null }
}

fn is<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &PrimitiveArray<T>, row: usize, number: i64) -> bool {
    array.is_valid(row) && array.value(row).into() == number
}

fn json<'a>(value: Json) -> Value<'a> {
    Value::Text(Cow::Owned(value.to_string()))
}

/// Returns the fields of a row that have no column as a JSON object; null if there are none.
fn other<'a>(array: &MapArray, row: usize) -> Value<'a> {
    let entries = array.value(row);
    let (names, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    let fields = names.iter().zip(values).filter_map(|(name, value)| name.zip(value));
    let fields = fields
        .map(|(name, value)| (name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())));
    let fields: Map<String, Json> = fields.collect();
    if fields.is_empty() { Value::Null } else { json(Json::Object(fields)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, UInt64Array};

    use super::*;

    /// Returns the values of a batch of one column.
    fn values(array: ArrayRef) -> Values {
        let batch = RecordBatch::try_from_iter([("x", array)]).expect("a batch of one column");
        Values::of(&BatchRows::new(&batch, 1), "x")
    }

    #[test]
    fn unsigned_numbers_are_exact_up_to_the_largest_signed_one() {
        let largest = i64::MAX as u64;
        let found =
            values(Arc::new(UInt64Array::from(vec![Some(7), Some(largest), Some(largest + 1), None])));
        assert_eq!(found.value(0), Value::Int(7));
        assert_eq!(found.value(1), Value::Int(i64::MAX));
        assert_eq!(found.value(2), Value::Real(9_223_372_036_854_775_808.0));
        assert_eq!(found.value(3), Value::Null);
        assert!(found.can_be(0, &Sought::Int(7)) && !found.can_be(0, &Sought::Int(-1)));
        assert!(!found.can_be(3, &Sought::Int(0)) && found.can_be(1, &Sought::Text("7".to_owned())));
    }

    #[test]
    fn lists_and_absent_columns() {
        use arrow_array::builder::{ListBuilder, StringBuilder};
        let mut list = ListBuilder::new(StringBuilder::new());
        list.append_value([Some("O_RDONLY"), Some("a\"b")]);
        list.append_null();
        let found = values(Arc::new(list.finish()));
        assert_eq!(found.value(0), Value::Text(r#"["O_RDONLY","a\"b"]"#.into()));
        assert_eq!(found.value(1), Value::Null);
        assert_eq!(Values::Absent.value(0), Value::Null);
        assert!(!Values::Absent.can_be(0, &Sought::Int(0)));
    }
}
