//! The bounds that a user sets.

use std::path::PathBuf;
use std::time::Duration;

/// The bounds of a query.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Longest time that it may take, without the time in which its rows are printed.
    pub timeout: Option<Duration>,
    /// Most memory that SQLite may take, in this process.
    pub memory: Option<u64>,
    /// Folder for what does not fit into memory. Without one, or if it can't be written, SQLite takes the system's folder for
    /// temporary files. Like `memory`, it applies to the whole process.
    pub spill: Option<PathBuf>,
}
