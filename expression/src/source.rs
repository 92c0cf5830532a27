//! Sources of values for an expression: a row in memory, or a row of a store that is read column by column.

use model::Tracking;
use model::schema::Column;

use super::value::Value;

/// A row that an expression can be applied to.
pub trait Source {
    /// Returns the value of a column.
    fn column(&self, column: Column) -> Value<'_>;
    /// Returns the value of a field of `extended`; null if there is none.
    fn field(&self, name: &str) -> Value<'_>;
}

impl Source for Tracking {
    fn column(&self, column: Column) -> Value<'_> {
        self.value(column).into()
    }

    fn field(&self, name: &str) -> Value<'_> {
        self.extended.get(name).map_or(Value::Null, Value::from)
    }
}

/// A row without values, for evaluating parts that do not depend on a row.
pub(super) struct Nothing;

impl Source for Nothing {
    fn column(&self, _: Column) -> Value<'_> {
        Value::Null
    }

    fn field(&self, _: &str) -> Value<'_> {
        Value::Null
    }
}
