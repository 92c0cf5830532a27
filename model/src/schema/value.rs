//! Values of columns, by type.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::{ExecId, Extended, Text, WallTime, ZonedTime};

/// The value of a column in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValue<'a> {
    /// The row has no value.
    Null,
    /// A whole number.
    Int(i64),
    /// A text in valid UTF-8.
    Text(Cow<'a, str>),
    /// A local time.
    Time(WallTime),
    /// A point in time.
    Zoned(ZonedTime),
    /// An identity of a process.
    ExecId(ExecId),
    /// A list of process ids.
    Pids(&'a [u32]),
    /// All fields without a column.
    Extended(&'a Extended),
}

impl<'a> ColumnValue<'a> {
    /// Returns the value as text; `None` for null.
    pub fn to_plain(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
            Self::Int(number) => Some(number.to_string().into()),
            Self::Time(at) => Some(at.to_text().into()),
            Self::Zoned(at) => Some(at.to_text().into()),
            Self::ExecId(id) => Some(id.to_string().into()),
            Self::Pids(_) | Self::Extended(_) => {
                Some(serde_json::to_string(&self).unwrap_or_default().into())
            }
        }
    }
}

impl Serialize for ColumnValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Int(number) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::Time(at) => at.serialize(serializer),
            Self::Zoned(at) => at.serialize(serializer),
            Self::ExecId(id) => id.serialize(serializer),
            Self::Pids(pids) => pids.serialize(serializer),
            Self::Extended(extended) => extended.serialize(serializer),
        }
    }
}

/// The place of a column's value in a row.
#[derive(Debug)]
pub enum ColumnSlot<'a> {
    /// A whole number.
    Int(&'a mut Option<i64>),
    /// A text of any bytes.
    Text(&'a mut Option<Text>),
    /// A text that many rows share.
    Shared(&'a mut Option<Arc<str>>),
    /// A local time.
    Time(&'a mut Option<WallTime>),
    /// A point in time.
    Zoned(&'a mut Option<ZonedTime>),
    /// An identity of a process.
    ExecId(&'a mut Option<ExecId>),
    /// The row is made with the value.
    Fixed,
}

/// A type that a column can have.
pub(super) trait Held: Sized {
    fn value(&self) -> ColumnValue<'_>;
    fn slot(held: &mut Option<Self>) -> ColumnSlot<'_>;
}

macro_rules! held {
    ($($type:ty, $slot:ident, $self:ident => $value:expr;)+) => {
        $(impl Held for $type {
            fn value(&$self) -> ColumnValue<'_> {
                $value
            }

            fn slot(held: &mut Option<Self>) -> ColumnSlot<'_> {
                ColumnSlot::$slot(held)
            }
        })+
    };
}

held! {
    i64, Int, self => ColumnValue::Int(*self);
    Text, Text, self => ColumnValue::Text(self.to_str());
    Arc<str>, Shared, self => ColumnValue::Text(Cow::Borrowed(self));
    WallTime, Time, self => ColumnValue::Time(*self);
    ZonedTime, Zoned, self => ColumnValue::Zoned(*self);
    ExecId, ExecId, self => ColumnValue::ExecId(*self);
}
