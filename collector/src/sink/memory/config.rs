//! Settings of the memory sink (`[collector.memory]`).

use actors::WhenFull;
use serde::{Deserialize, Serialize};

/// Settings of the memory sink (`[collector.memory]`), which keeps the last rows like duetector's deque. Rows that
/// leave the memory do not count as lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Disables the memory sink.
    pub disabled: bool,
    /// Number of rows kept of each tracer.
    pub maxlen: u32,
    /// Number of batches that may wait for this sink.
    pub queue: u32,
    /// Action when the queue is full: `block` or `drop`.
    pub when_full: WhenFull,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { disabled: true, maxlen: 1024, queue: 16, when_full: WhenFull::Block }
    }
}
