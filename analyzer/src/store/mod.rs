//! The store that rows are read from.

mod sqlite;

pub(crate) use sqlite::UTC_OF;
pub use sqlite::{Store, Table, UnknownTracer};
