//! The store that rows are read from.

mod sqlite;

pub use sqlite::{Store, Table, UnknownTracer};
