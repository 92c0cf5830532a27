//! The sinks of the configuration: which are enabled, which file each writes, and how each is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::clock;
use model::{SinkId, SinkName};

use crate::config::{CollectorConfig, JSONL_FILE};
use crate::route::Route;
use crate::sink::jsonl::{self, Jsonl};
use crate::sink::memory::{self, Memory};
use crate::sink::sqlite::{self, Run, Sqlite};
use crate::sink::writer::Pace;
use crate::spawn::{SinkHandle, SinkSpec};

/// Names of all sinks, the store first.
pub(crate) const NAMES: [&str; 3] = [sqlite::NAME, memory::NAME, jsonl::NAME];

/// A running sink, with the state that a successor on the same file takes over.
#[derive(Clone)]
pub(crate) struct RunningSink {
    pub(crate) name: SinkName,
    pub(crate) id: SinkId,
    pub(crate) handle: SinkHandle,
    pub(crate) route: Arc<Route>,
    pub(crate) carried_over: CarriedOver,
}

/// State that a sink takes over from its predecessor.
#[derive(Clone, Default)]
pub(crate) struct CarriedOver {
    /// The run that the store records rows for.
    run: Option<Run>,
    /// The rows kept in memory.
    pub(crate) memory: Option<Memory>,
}

/// Returns whether the configuration enables the sink.
pub(crate) fn is_on(name: &str, config: &CollectorConfig) -> bool {
    config.sinks().iter().any(|sink| sink.as_str() == name)
}

/// Returns whether the sink's settings are the same in two configurations.
pub(crate) fn is_same(name: &str, one: &CollectorConfig, other: &CollectorConfig) -> bool {
    match name {
        sqlite::NAME => one.sqlite == other.sqlite,
        memory::NAME => one.memory == other.memory,
        jsonl::NAME => one.jsonl == other.jsonl,
        _ => true,
    }
}

/// Returns the file that the sink writes; `None` if it writes no file.
pub(crate) fn file(name: &str, config: &CollectorConfig, workdir: &Path) -> Option<PathBuf> {
    match name {
        sqlite::NAME => config.store_path(workdir),
        jsonl::NAME if config.jsonl.path == "-" => None,
        jsonl::NAME if config.jsonl.path.is_empty() => Some(workdir.join(JSONL_FILE)),
        jsonl::NAME => Some(workdir.join(&config.jsonl.path)),
        _ => None,
    }
}

/// Builds the sink's spec from the configuration.
pub(crate) fn spec(
    name: &str,
    config: &CollectorConfig,
    workdir: &Path,
    carried_over: CarriedOver,
) -> (SinkSpec, CarriedOver) {
    match name {
        memory::NAME => memory(config, carried_over),
        jsonl::NAME => (jsonl(config, workdir), carried_over),
        _ => sqlite(config, workdir, carried_over),
    }
}

fn sqlite(config: &CollectorConfig, workdir: &Path, carried_over: CarriedOver) -> (SinkSpec, CarriedOver) {
    let settings = &config.sqlite;
    let run = carried_over.run.unwrap_or_else(|| Run {
        run_id: format!("{:x}-{}", clock::unix_ns(), std::process::id()),
        collector_id: config.collector_id(),
        started: clock::wall(),
    });
    let path = config.store_path(workdir).unwrap_or_default();
    let (synchronous, own) = (settings.synchronous, run.clone());
    let spec = SinkSpec {
        name: SinkName::new(sqlite::NAME),
        queue: (settings.queue, settings.when_full),
        pace: Pace {
            batch: settings.batch as usize,
            flush_interval: settings.flush_interval.0,
            retry_for: settings.retry_for.0,
        },
        make: Box::new(move || Box::new(Sqlite::new(path.clone(), synchronous, own.clone()))),
    };
    (spec, CarriedOver { run: Some(run), memory: None })
}

fn memory(config: &CollectorConfig, carried_over: CarriedOver) -> (SinkSpec, CarriedOver) {
    let settings = &config.memory;
    let maxlen = settings.maxlen as usize;
    let memory = carried_over.memory.map_or_else(|| Memory::new(maxlen), |memory| memory.resized(maxlen));
    let shared = memory.clone();
    let spec = SinkSpec {
        name: SinkName::new(memory::NAME),
        queue: (settings.queue, settings.when_full),
        // Waiting would gain nothing: rows are shared, not written.
        pace: Pace { batch: 1, flush_interval: Duration::ZERO, retry_for: Duration::ZERO },
        make: Box::new(move || Box::new(shared.clone())),
    };
    (spec, CarriedOver { run: None, memory: Some(memory) })
}

fn jsonl(config: &CollectorConfig, workdir: &Path) -> SinkSpec {
    let settings = config.jsonl.clone();
    let path = file(jsonl::NAME, config, workdir);
    SinkSpec {
        name: SinkName::new(jsonl::NAME),
        queue: (settings.queue, settings.when_full),
        pace: Pace {
            batch: settings.batch as usize,
            flush_interval: settings.flush_interval.0,
            retry_for: settings.retry_for.0,
        },
        make: Box::new(move || match &path {
            None => Box::new(Jsonl::stdout()),
            Some(path) => Box::new(Jsonl::file(path.clone(), settings.rotate_size.0, settings.rotate_keep)),
        }),
    }
}
