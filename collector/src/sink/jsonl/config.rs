//! Settings of the JSON lines sink (`[collector.jsonl]`).

use std::time::Duration;

use actors::WhenFull;
use model::{Period, Size};
use serde::{Deserialize, Serialize};

/// Settings of the JSON lines sink (`[collector.jsonl]`), which writes one JSON object per line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonlConfig {
    /// Disables the JSON lines sink.
    pub disabled: bool,
    /// Path of the file, relative to the work folder; `-` is standard output; empty: `duetector-tracking.jsonl`.
    pub path: String,
    /// Size at which the file is renamed to `.1` and a new one begun; 0: never.
    pub rotate_size: Size,
    /// Number of renamed files to keep.
    pub rotate_keep: u32,
    /// Rows written at once.
    pub batch: u32,
    /// Time after which fewer rows than a full batch are written.
    pub flush_interval: Period,
    /// Number of batches that may wait for this sink.
    pub queue: u32,
    /// Action when the queue is full: `block` or `drop`. With `block`, a reader of standard output that stops reading
    /// makes the whole agent wait.
    pub when_full: WhenFull,
    /// Time for which a write is retried after an error that may pass.
    pub retry_for: Period,
}

impl Default for JsonlConfig {
    fn default() -> Self {
        Self {
            disabled: true,
            path: String::new(),
            rotate_size: Size(64 << 20),
            rotate_keep: 4,
            batch: 4096,
            flush_interval: Period(Duration::from_millis(200)),
            queue: 16,
            when_full: WhenFull::Block,
            retry_for: Period(Duration::from_secs(5)),
        }
    }
}
