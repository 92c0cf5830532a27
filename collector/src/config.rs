//! Settings of the write side: `[collector]` with its sinks. Filters have their own in `filter/config.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::WhenFull;
use model::{Period, Problem, SinkName, Size};
use serde::{Deserialize, Serialize};

pub use crate::enrich::runtime::RuntimesConfig;
pub use crate::filter::FiltersConfig;
use crate::sink::{jsonl, memory, sqlite};

/// The store's file in the work folder, where its section says nothing else. duetector's name for it.
pub const STORE_FILE: &str = "duetector-dbcollector.sqlite3";
/// The JSON lines' file in the work folder, where its section says nothing else.
pub const JSONL_FILE: &str = "duetector-tracking.jsonl";

/// The write side (`[collector]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectorConfig {
    /// Under which id rows are stored; empty: the host's name.
    pub id: String,
    /// How many batches (of up to 1,024 records) may wait for the collector. Where they do, sources are held back.
    pub queue: u32,
    /// The store.
    pub sqlite: SqliteConfig,
    /// The last rows, in memory.
    pub memory: MemoryConfig,
    /// One JSON object a line.
    pub jsonl: JsonlConfig,
    /// Who tells names and images of containers.
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

/// How sure a commit is (`synchronous`). Whatever it is, rows survive the death of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// After a power cut the file may be broken.
    Off,
    /// After a power cut the last rows may be missing; the file is whole.
    #[default]
    Normal,
    /// After a power cut nothing that was committed is missing.
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

/// The store (`[collector.sqlite]`): a file with duetector's schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqliteConfig {
    /// Do not store.
    pub disabled: bool,
    /// The file, relative to the work folder; empty: `duetector-dbcollector.sqlite3`.
    pub path: String,
    /// So many rows are written in one transaction.
    pub batch: u32,
    /// Fewer rows are written after this time.
    pub flush_interval: Period,
    /// How many batches may wait for it.
    pub queue: u32,
    /// What happens when they do: `block` holds the sources back, `drop` loses the newest batch, counted.
    pub when_full: WhenFull,
    /// How sure a commit is: `off`, `normal`, `full`.
    pub synchronous: Synchronous,
    /// A write that fails for a reason that may pass (a locked file) is tried again for so long; then its rows
    /// are lost, counted.
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

/// The last rows, in memory (`[collector.memory]`): duetector's deque. What falls out of it was stored, and is
/// not lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Do not keep rows in memory.
    pub disabled: bool,
    /// So many rows of each tracer.
    pub maxlen: u32,
    /// How many batches may wait for it.
    pub queue: u32,
    /// What happens when they do: `block` or `drop`.
    pub when_full: WhenFull,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { disabled: true, maxlen: 1024, queue: 16, when_full: WhenFull::Block }
    }
}

/// One JSON object a line (`[collector.jsonl]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonlConfig {
    /// Do not write JSON lines.
    pub disabled: bool,
    /// The file, relative to the work folder; `-` is standard output; empty: `duetector-tracking.jsonl`.
    pub path: String,
    /// A file of this size is put aside as `.1` and a new one begun; 0: never.
    pub rotate_size: Size,
    /// So many files put aside are kept.
    pub rotate_keep: u32,
    /// So many rows are written at once.
    pub batch: u32,
    /// Fewer rows are written after this time.
    pub flush_interval: Period,
    /// How many batches may wait for it.
    pub queue: u32,
    /// What happens when they do: `block` or `drop`. A reader of standard output that stops reading holds the
    /// whole agent back with `block`.
    pub when_full: WhenFull,
    /// A write that fails for a reason that may pass is tried again for so long.
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
    /// The id rows are stored under: the one that is set, else the host's name. What would break a table's name
    /// is replaced by `_`.
    pub fn collector_id(&self) -> String {
        if !self.id.is_empty() {
            return table_part(&self.id);
        }
        let host =
            nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        if host.is_empty() { "unknown".to_owned() } else { table_part(&host) }
    }

    /// The sinks that are on, the store first: what [`model::Accounts::new`] wants.
    pub fn sinks(&self) -> Vec<SinkName> {
        let all = [
            (sqlite::NAME, self.sqlite.disabled),
            (memory::NAME, self.memory.disabled),
            (jsonl::NAME, self.jsonl.disabled),
        ];
        all.iter().filter(|(_, disabled)| !disabled).map(|(name, _)| SinkName::new(name)).collect()
    }

    /// Where the store is, if there is one.
    pub fn store_path(&self, workdir: &Path) -> Option<PathBuf> {
        (!self.sqlite.disabled).then(|| match self.sqlite.path.as_str() {
            "" => workdir.join(STORE_FILE),
            path => workdir.join(path),
        })
    }

    /// All that is wrong with the settings.
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

/// A tracer's name or a collector's id as it stands in a table's name `prefix:tracer@collector`: duetector's
/// analyzer cuts such a name at the first `:` and `@`.
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
