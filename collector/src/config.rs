//! Settings of the write side (`[collector]`) and its sinks. The settings of filters are in `filter/config.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::WhenFull;
use model::{Period, Problem, SinkName, Size};
use serde::{Deserialize, Serialize};

pub use crate::enrich::runtime::RuntimesConfig;
pub use crate::filter::FiltersConfig;
use crate::sink::{jsonl, memory, sqlite};

/// Name of the store's file in the work folder, unless the section sets a path. The name is duetector's.
pub const STORE_FILE: &str = "duetector-dbcollector.sqlite3";
/// Name of the JSON lines file in the work folder, unless the section sets a path.
pub const JSONL_FILE: &str = "duetector-tracking.jsonl";

/// Settings of the write side (`[collector]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectorConfig {
    /// Id that rows are stored under; empty: the machine's host name.
    pub id: String,
    /// Number of batches (of up to 1,024 records) that may wait for the collector. Sources wait when the queue is
    /// full.
    pub queue: u32,
    /// Settings of the SQLite store.
    pub sqlite: SqliteConfig,
    /// Settings of the memory sink, which keeps the last rows.
    pub memory: MemoryConfig,
    /// Settings of the JSON lines file.
    pub jsonl: JsonlConfig,
    /// Container runtimes to ask for names and images of containers.
    pub runtimes: RuntimesConfig,
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            queue: 8,
            sqlite: SqliteConfig::default(),
            memory: MemoryConfig::default(),
            jsonl: JsonlConfig::default(),
            runtimes: RuntimesConfig::default(),
        }
    }
}

/// Durability of a commit (`synchronous`). With every value, committed rows survive a crash of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// After a power cut the file may be corrupt.
    Off,
    /// After a power cut the last rows may be missing; the file is consistent.
    #[default]
    Normal,
    /// After a power cut no committed row is missing.
    Full,
}

impl Synchronous {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Normal => "NORMAL",
            Self::Full => "FULL",
        }
    }
}

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
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            path: String::new(),
            batch: 4096,
            flush_interval: millis(200),
            queue: 16,
            when_full: WhenFull::Block,
            synchronous: Synchronous::default(),
            retry_for: millis(5000),
        }
    }
}

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
            flush_interval: millis(200),
            queue: 16,
            when_full: WhenFull::Block,
            retry_for: millis(5000),
        }
    }
}

impl CollectorConfig {
    /// Returns the id that rows are stored under: the configured one, or the machine's host name. Characters that a
    /// table name can't contain are replaced by `_`.
    pub fn collector_id(&self) -> String {
        if !self.id.is_empty() {
            return table_part(&self.id);
        }
        let host =
            nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        if host.is_empty() { "unknown".to_owned() } else { table_part(&host) }
    }

    /// Returns the enabled sinks, the store first, as [`model::Accounts::new`] expects them.
    pub fn sinks(&self) -> Vec<SinkName> {
        let all = [
            (sqlite::NAME, self.sqlite.disabled),
            (memory::NAME, self.memory.disabled),
            (jsonl::NAME, self.jsonl.disabled),
        ];
        all.iter().filter(|(_, disabled)| !disabled).map(|(name, _)| SinkName::new(name)).collect()
    }

    /// Returns the path of the store, if it is enabled.
    pub fn store_path(&self, workdir: &Path) -> Option<PathBuf> {
        (!self.sqlite.disabled).then(|| match self.sqlite.path.as_str() {
            "" => workdir.join(STORE_FILE),
            path => workdir.join(path),
        })
    }

    /// Returns everything that is wrong with the settings.
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.id.contains([':', '@']) || self.id.contains(char::is_control) {
            let message = format!(
                "{:?} can't be part of a table's name: expected no `:`, `@` or control characters",
                self.id
            );
            problems.push(Problem::new(format!("{prefix}.id"), message));
        }
        let positive = [
            ("queue", self.queue),
            ("sqlite.batch", self.sqlite.batch),
            ("sqlite.queue", self.sqlite.queue),
            ("memory.maxlen", self.memory.maxlen),
            ("memory.queue", self.memory.queue),
            ("jsonl.batch", self.jsonl.batch),
            ("jsonl.queue", self.jsonl.queue),
        ];
        for (key, _) in positive.iter().filter(|(_, value)| *value == 0) {
            problems.push(Problem::new(format!("{prefix}.{key}"), "0 is too few: expected 1 or more"));
        }
        let intervals = [
            ("sqlite.flush_interval", self.sqlite.flush_interval),
            ("jsonl.flush_interval", self.jsonl.flush_interval),
            ("runtimes.timeout", self.runtimes.timeout),
        ];
        for (key, interval) in intervals {
            if interval.0.is_zero() || interval.0 > Duration::from_secs(60) {
                let message = format!("{interval} is out of range: expected more than 0 and at most 60s");
                problems.push(Problem::new(format!("{prefix}.{key}"), message));
            }
        }
        problems
    }
}

/// Replaces characters that can't stand in a table name `prefix:tracer@collector`: duetector's analyzer splits such a
/// name at the first `:` and `@`.
pub(crate) fn table_part(name: &str) -> String {
    name.chars().map(|c| if c == ':' || c == '@' || c.is_control() { '_' } else { c }).collect()
}

fn millis(count: u64) -> Period {
    Period(Duration::from_millis(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_comes_first_and_ids_fit_into_a_table_name() {
        let mut config = CollectorConfig { id: "Host:a@b".into(), ..CollectorConfig::default() };
        assert_eq!(config.collector_id(), "Host_a_b");
        assert_eq!(config.sinks(), ["sqlite".into()]);
        config.jsonl.disabled = false;
        config.memory.disabled = false;
        assert_eq!(config.sinks(), ["sqlite".into(), "memory".into(), "jsonl".into()]);
        assert_eq!(config.validate("collector").len(), 1);
    }

    #[test]
    fn settings_that_make_no_sense_are_all_named() {
        let mut config = CollectorConfig::default();
        assert_eq!(config.validate("collector"), []);
        config.sqlite.batch = 0;
        config.jsonl.flush_interval = Period(Duration::ZERO);
        let keys: Vec<String> = config.validate("collector").into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["collector.sqlite.batch", "collector.jsonl.flush_interval"]);
    }
}
