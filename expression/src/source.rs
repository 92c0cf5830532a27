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
        let details = &self.extended.details;
        path_of(column.name(), self.value(column).into(), || {
            (details.has_incomplete_path(), details.has_unresolved_path())
        })
    }

    fn field(&self, name: &str) -> Value<'_> {
        let details = &self.extended.details;
        path_of(name, self.extended.get(name).map_or(Value::Null, Value::from), || {
            (details.has_incomplete_path(), details.has_unresolved_path())
        })
    }
}

/// Returns whether a column or field is a path that the fields `path_incomplete` and `path_unresolved` may be about.
pub fn is_path(name: &str) -> bool {
    matches!(name, "fname" | "exe" | "cwd" | "new_path" | "put_old")
}

/// Returns a column or field of a row that has these two fields or not: what is known of it, if it is a path in doubt. An
/// incomplete path is the end of the real one and has no leading `/`; it is missing if nothing could be read.
pub fn path_of<'a>(name: &str, value: Value<'a>, doubts: impl Fn() -> (bool, bool)) -> Value<'a> {
    if !is_path(name) {
        return value;
    }
    let (incomplete, unresolved) = doubts();
    let is_given = !matches!(name, "exe" | "cwd");
    match value {
        Value::Text(_) if unresolved && is_given => Value::Part(Some("".into())),
        Value::Text(end) if incomplete && !end.starts_with('/') => Value::Part(Some(end)),
        Value::Null if incomplete && name == "fname" => Value::Part(None),
        whole => whole,
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
