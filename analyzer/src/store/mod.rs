//! The store that rows are read from.

mod live;
mod scan;
mod sqlite;
mod vtab;

pub use live::Live;
pub use scan::DamagedBatch;
pub(crate) use sqlite::UTC_OF;
pub use sqlite::{Store, Table, UnknownTracer};
