//! The store that rows are read from.

mod beside;
mod chunk;
mod columnar;
mod connect;
mod live;
mod reading;
mod scan;
mod searched;
mod sqlite;
mod tables;
mod typed;
mod typed_vtab;
mod vtab;
mod walk;

pub(crate) use chunk::{Chunk, Walk};
pub(crate) use columnar::Piece;
pub(crate) use connect::{File, quote};
pub use live::Live;
pub use scan::DamagedBatch;
pub(crate) use searched::Searched;
pub(crate) use sqlite::UTC_OF;
pub use sqlite::{Store, Table, UnknownTracer};
pub(crate) use typed::{Source as TypedSource, sql_type};
pub(crate) use typed_vtab::add_table as add_typed_table;
pub(crate) use vtab::{DOUBTFUL, IN_DOUBT};
pub(crate) use walk::Walker;
