//! Identity of a run in the file.

use model::WallTime;

/// Identity of this run in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Unique id of the run.
    pub run_id: String,
    /// Id that rows are stored under.
    pub collector_id: String,
    /// Local wall time at which the run started.
    pub started: WallTime,
}
