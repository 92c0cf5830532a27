//! The store that rows are read from.

mod beside;
mod connect;
mod scan;
mod sqlite;
mod vtab;

pub(crate) use connect::{File, quote};
pub use scan::DamagedBatch;
pub(crate) use sqlite::UTC_OF;
pub use sqlite::{Store, Table, UnknownTracer};
