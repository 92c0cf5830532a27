//! Settings of the store (`[collector.sqlite]`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::WhenFull;
use model::{Period, Size};
use serde::{Deserialize, Serialize};

use crate::sink::database::Synchronous;

/// Name of the file in the work folder, unless the section sets a path. The name is duetector's.
const FILE: &str = "duetector-dbcollector.sqlite3";

/// Settings of the store (`[collector.sqlite]`): a SQLite file with duetector's schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqliteConfig {
    /// Disables the store.
    pub disabled: bool,
    /// Path of the file, relative to the work folder; empty: `duetector-dbcollector.sqlite3`.
    pub path: String,
    /// Rows written in one transaction.
    pub batch: u32,
    /// Time after which fewer rows than a full batch are written.
    pub flush_interval: Period,
    /// Number of batches that may wait for this sink.
    pub queue: u32,
    /// Action when the queue is full: `block` makes the sources wait, `drop` loses the newest batch and counts it.
    pub when_full: WhenFull,
    /// Durability of a commit: `off`, `normal`, `full`.
    pub synchronous: Synchronous,
    /// Time for which a write is retried after an error that may pass (a locked file). After that its rows are lost,
    /// and counted.
    pub retry_for: Period,
    /// Size up to which SQLite looks through the whole file for damage, once at the start, beside everything else.
    pub check_limit: Size,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            path: String::new(),
            batch: 4096,
            flush_interval: Period(Duration::from_millis(200)),
            queue: 16,
            when_full: WhenFull::Block,
            synchronous: Synchronous::default(),
            retry_for: Period(Duration::from_secs(5)),
            check_limit: Size(64 << 20),
        }
    }
}

impl SqliteConfig {
    /// Returns the path of the file, whether the store is enabled or not.
    pub fn file(&self, workdir: &Path) -> PathBuf {
        workdir.join(if self.path.is_empty() { FILE } else { &self.path })
    }
}
