//! Values at run time, borrowed from the row where possible.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use model::extended::Field;
use model::schema::ColumnValue;
use model::{Text, WallTime};

use super::error::EvalError;

/// The value of an expression or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A missing value.
    Null,
    /// A boolean value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number too large for `Int`.
    Uint(u64),
    /// Any other number.
    Double(f64),
    /// A text value.
    Text(Cow<'a, str>),
    /// The end of a path of which the beginning is unknown, or maybe all of it; `None` for a path of which nothing is known.
    Part(Option<Cow<'a, str>>),
    /// A local time.
    Time(WallTime),
    /// A duration in microseconds.
    Span(i64),
    /// A list of values.
    List(Items<'a>),
    /// An object with names and values.
    Object(Cow<'a, Map<String, Json>>),
}

/// The elements of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Items<'a> {
    /// Values made by the expression.
    Values(Vec<Value<'a>>),
    /// Elements of a JSON array.
    Json(Cow<'a, [Json]>),
    /// Texts in a row.
    Texts(&'a [Text]),
    /// Process ids in a row.
    Pids(&'a [u32]),
}

impl<'a> Items<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Json(values) => values.len(),
            Self::Texts(texts) => texts.len(),
            Self::Pids(pids) => pids.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Values(values) => values.get(index).cloned(),
            Self::Json(Cow::Borrowed(values)) => values.get(index).map(Value::from),
            Self::Json(Cow::Owned(values)) => values.get(index).map(|value| Value::from(value).into_owned()),
            Self::Texts(texts) => texts.get(index).map(|text| Value::Text(text.to_str())),
            Self::Pids(pids) => pids.get(index).map(|pid| Value::Int((*pid).into())),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).map(|index| self.get(index).unwrap_or(Value::Null))
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Returns CEL's name of the value's type.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Uint(_) => "int",
            Self::Double(_) => "double",
            Self::Text(_) | Self::Part(_) => "string",
            Self::Time(_) => "timestamp",
            Self::Span(_) => "duration",
            Self::List(_) => "list",
            Self::Object(_) => "map",
        }
    }

    fn into_owned<'b>(self) -> Value<'b> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Int(number) => Value::Int(number),
            Self::Uint(number) => Value::Uint(number),
            Self::Double(number) => Value::Double(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Part(end) => Value::Part(end.map(|end| Cow::Owned(end.into_owned()))),
            Self::Time(at) => Value::Time(at),
            Self::Span(micros) => Value::Span(micros),
            Self::Object(map) => Value::Object(Cow::Owned(map.into_owned())),
            Self::List(items) => Value::List(Items::Values(items.iter().map(Value::into_owned).collect())),
        }
    }

    /// Returns the member of that name; null if there is none or the value has no members.
    pub(super) fn member(&self, name: &str) -> Value<'a> {
        match self {
            Self::Object(Cow::Borrowed(map)) => map.get(name).map_or(Value::Null, Value::from),
            Self::Object(Cow::Owned(map)) => {
                map.get(name).map_or(Value::Null, |value| Value::from(value).into_owned())
            }
            _ => Value::Null,
        }
    }

    /// Returns whether two values are equal. Null equals only null; values of different types are never equal.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Part(None), Self::Null) | (Self::Null, Self::Part(None)) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Span(a), Self::Span(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(name, value)| {
                        b.get(name).is_some_and(|other| Value::from(value).equals(&Value::from(other)))
                    })
            }
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(&b))
            }
            _ => self.number_order(other) == Some(Ordering::Equal),
        }
    }

    /// Compares two values; `None` if one of them is null or NaN.
    pub(super) fn order(&self, other: &Self, operation: &'static str) -> Result<Option<Ordering>, EvalError> {
        Ok(match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            (Self::Part(_), _) | (_, Self::Part(_)) => return Err(EvalError::Incomplete),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            (Self::Span(a), Self::Span(b)) => Some(a.cmp(b)),
            (a, b) if a.is_number() && b.is_number() => a.number_order(b),
            (a, b) => {
                let odd = if a.is_number() { b } else { a };
                return Err(EvalError::Type { operation, found: odd.kind_name() });
            }
        })
    }

    /// Returns whether a path of which this is known may be `text`.
    pub(super) fn may_equal(&self, text: &str) -> bool {
        match self {
            Self::Part(end) => text.ends_with(end.as_deref().unwrap_or_default()),
            other => other.equals(&Value::text(text)),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Uint(_) | Self::Double(_))
    }

    /// Compares two numbers exactly, even if they have different types.
    fn number_order(&self, other: &Self) -> Option<Ordering> {
        let whole = |value: &Self| match value {
            Self::Int(number) => Some(i128::from(*number)),
            Self::Uint(number) => Some(i128::from(*number)),
            _ => None,
        };
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Double(a), b) => whole_order(whole(b)?, *a).map(Ordering::reverse),
            (a, Self::Double(b)) => whole_order(whole(a)?, *b),
            (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
        }
    }
}

fn whole_order(whole: i128, real: f64) -> Option<Ordering> {
    if real.is_nan() {
        return None;
    }
    // A cast of a larger number saturates at the ends of 128 bits, beyond all whole numbers here.
    let order = whole.cmp(&(real.trunc() as i128));
    Some(order.then(0.0_f64.partial_cmp(&real.fract())?))
}

impl<'a> From<ColumnValue<'a>> for Value<'a> {
    fn from(value: ColumnValue<'a>) -> Self {
        match value {
            // Expressions read single fields, never all of them.
            ColumnValue::Null | ColumnValue::Extended(_) => Self::Null,
            ColumnValue::Int(number) => Self::Int(number),
            ColumnValue::Text(text) => Self::Text(text),
            ColumnValue::Time(at) => Self::Time(at),
            ColumnValue::Zoned(at) => Self::Time(at.wall()),
            ColumnValue::ExecId(id) => Self::Text(id.to_string().into()),
            ColumnValue::Pids(pids) => Self::List(Items::Pids(pids)),
        }
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::Uint(number), Self::Int)
    }
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(value: &'a Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::String(text) => Self::text(text),
            Json::Array(items) => Self::List(Items::Json(Cow::Borrowed(items))),
            Json::Object(map) => Self::Object(Cow::Borrowed(map)),
            Json::Number(number) => {
                let real = || Self::Double(number.as_f64().unwrap_or(f64::NAN));
                let whole = number.as_i64().map(Self::Int);
                whole.or_else(|| number.as_u64().map(Self::Uint)).unwrap_or_else(real)
            }
        }
    }
}

impl<'a> From<Field<'a>> for Value<'a> {
    fn from(field: Field<'a>) -> Self {
        match field {
            Field::Bool(truth) => Self::Bool(truth),
            Field::Int(number) => Self::Int(number),
            Field::Uint(number) => number.into(),
            Field::Str(text) => Self::Text(text),
            Field::Names(names) => Self::List(Items::Values(names.into_iter().map(Self::Text).collect())),
            Field::Texts(texts) => Self::List(Items::Texts(texts)),
            Field::Json(Cow::Borrowed(value)) => Self::from(value),
            Field::Json(Cow::Owned(value)) => Value::from(&value).into_owned(),
        }
    }
}
