//! Values by which rows are looked for, and conditions with them.

use std::borrow::Cow;

use model::schema::Column;

use crate::layout::OTHER;

/// Number of values from which a row's value is looked up in a table, and no bloom filters are read.
const MANY: usize = 64;

/// A value by which rows are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// A whole number.
    Int(i64),
    /// A text that must be equal, byte by byte.
    Text(String),
    /// Bytes that must be equal.
    Bytes(Vec<u8>),
    /// A text that must begin with this one.
    Prefix(String),
}

/// A condition: a column has one of some values.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of the column.
    pub column: String,
    /// The values. If the type of a row's value can't be compared with theirs, the row fulfils the condition, too.
    pub values: Vec<Sought>,
    /// True if rows that have the column's name in the map of other fields fulfil the condition, too: the map then has the row's value.
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
    /// The conditions on values of the rows.
    pub conditions: Vec<Condition>,
}

impl Default for Selection {
    /// Returns the selection of all rows.
    fn default() -> Self {
        Self { since: i64::MIN, until: i64::MAX, conditions: Vec::new() }
    }
}

impl Selection {
    /// Returns the selection for a batch with these first and last times: without bounds if all rows are within them, so that no times
    /// are compared.
    pub(crate) fn within(&self, first: i64, last: i64) -> Cow<'_, Self> {
        if self.has_bounds() && self.since <= first && last <= self.until {
            Cow::Owned(Self { conditions: self.conditions.clone(), ..Self::default() })
        } else {
            Cow::Borrowed(self)
        }
    }

    /// Returns whether all rows are selected.
    pub fn is_all(&self) -> bool {
        !self.has_bounds() && self.conditions.is_empty()
    }

    pub(crate) fn has_bounds(&self) -> bool {
        (self.since, self.until) != (i64::MIN, i64::MAX)
    }

    /// Returns whether the column of that name is read to test rows.
    pub(crate) fn reads(&self, name: &str) -> bool {
        (self.has_bounds() && name == Column::Time.name())
            || self.conditions.iter().any(|condition| condition.reads(name))
    }
}
