//! The store that rows are read from.

mod beside;
mod scan;
mod sqlite;
mod vtab;

pub use scan::DamagedBatch;
pub(crate) use sqlite::{File, UTC_OF};
pub use sqlite::{Store, Table, UnknownTracer};
