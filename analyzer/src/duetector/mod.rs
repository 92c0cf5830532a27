//! Answers as duetector's own analyzer gives them: rows table by table, and a summary of each table.

mod brief;
mod query;
mod row;

pub use brief::{AnalyzerBrief, TableBrief};
pub use query::{TrackingQuery, unknown_column};
pub use row::Tracking;
