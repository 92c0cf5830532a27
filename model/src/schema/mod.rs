//! The two tables of what rows hold: [`COLUMNS`] and [`FIELDS`], the fields of `extended`. Whoever lists names or types of
//! them walks these tables.

mod about;
mod arrow;
mod columns;
mod fields;
mod value;

use std::fmt;

pub use arrow::ArrowType;
pub use columns::{COLUMNS, Column, Tracking};
pub use fields::{FIELDS, Field};
pub use value::{ColumnSlot, ColumnValue};

/// Prefix of every table that holds rows: `duetector_tracking:{tracer}@{collector_id}`. No other table in a store may
/// begin with it, or duetector's analyzer fails on the whole file.
pub const TABLE_PREFIX: &str = "duetector_tracking";

/// The type of a column in a table of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A 64-bit signed integer.
    Integer,
    /// A text in valid UTF-8.
    Text,
    /// A text of the form `YYYY-MM-DD HH:MM:SS.ffffff`, local time.
    DateTime,
    /// A 64-bit signed integer: nanoseconds since 1970, UTC.
    Time,
    /// A JSON object.
    Json,
}

/// The tracers that write a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracers {
    /// Every tracer that there is.
    All,
    /// Every kernel tracer.
    Kernel,
    /// Every kernel tracer, and one of this name.
    KernelOr(&'static str),
    /// The templates of shell tracers.
    Shell,
    /// Tracers of these names.
    Only(&'static [&'static str]),
}

impl fmt::Display for Tracers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Kernel => f.write_str("kernel tracers"),
            Self::KernelOr(name) => write!(f, "kernel tracers, {name}"),
            Self::Shell => f.write_str("shell templates"),
            Self::Only(names) => f.write_str(&names.join(", ")),
        }
    }
}

/// Returns the name of the table that holds a tracer's rows from one collector.
pub fn table_name(tracer: &str, collector_id: &str) -> String {
    format!("{TABLE_PREFIX}:{tracer}@{collector_id}")
}

/// Returns the tracer and the collector id of a table; `None` if the table holds no rows.
///
/// ```
/// assert_eq!(model::schema::parse_table_name("duetector_tracking:open@vm"), Some(("open", "vm")));
/// assert_eq!(model::schema::parse_table_name("duetector_actors_runs"), None);
/// ```
pub fn parse_table_name(table: &str) -> Option<(&str, &str)> {
    table.strip_prefix(TABLE_PREFIX)?.strip_prefix(':')?.split_once('@')
}

/// Returns the tracer's name as used in its table's name and in the accounts: lower case, as in duetector, and
/// without the characters at which duetector's analyzer splits.
pub fn stored_name(tracer: &str) -> String {
    table_part(&tracer.to_lowercase())
}

/// Replaces characters that can't stand in a table name `prefix:tracer@collector`: duetector's analyzer splits such a
/// name at the first `:` and `@`.
pub fn table_part(name: &str) -> String {
    name.chars().map(|c| if c == ':' || c == '@' || c.is_control() { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests;
