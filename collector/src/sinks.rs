//! The sinks that the configuration knows: which are on, where they write, how each is made.

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
use crate::spawn::{OwnSink, SinkHandle};

/// Their names, the store first.
pub(crate) const NAMES: [&str; 3] = [sqlite::NAME, memory::NAME, jsonl::NAME];

/// A sink at work, with what its successor on the same file goes on with.
#[derive(Clone)]
pub(crate) struct Seated {
    pub(crate) name: SinkName,
    pub(crate) id: SinkId,
    pub(crate) handle: SinkHandle,
    pub(crate) route: Arc<Route>,
    pub(crate) legacy: Legacy,
}

/// What a sink goes on with when it is made anew.
#[derive(Clone, Default)]
pub(crate) struct Legacy {
    /// The store's run.
    run: Option<Run>,
    /// The rows in memory.
    pub(crate) memory: Option<Memory>,
}

/// Whether the configuration has it on.
pub(crate) fn is_on(name: &str, config: &CollectorConfig) -> bool {
    config.sinks().iter().any(|sink| sink.as_str() == name)
}

/// Whether two configurations mean the same by it.
pub(crate) fn is_same(name: &str, one: &CollectorConfig, other: &CollectorConfig) -> bool {
    match name {
        sqlite::NAME => one.sqlite == other.sqlite,
        memory::NAME => one.memory == other.memory,
        jsonl::NAME => one.jsonl == other.jsonl,
        _ => true,
    }
}

/// The file it writes; `None` for what is no file.
pub(crate) fn file(name: &str, config: &CollectorConfig, workdir: &Path) -> Option<PathBuf> {
    match name {
        sqlite::NAME => config.store_path(workdir),
        jsonl::NAME if config.jsonl.path == "-" => None,
        jsonl::NAME if config.jsonl.path.is_empty() => Some(workdir.join(JSONL_FILE)),
        jsonl::NAME => Some(workdir.join(&config.jsonl.path)),
        _ => None,
    }
}

/// How to make it.
pub(crate) fn blueprint(
    name: &str,
    config: &CollectorConfig,
    workdir: &Path,
    legacy: Legacy,
) -> (OwnSink, Legacy) {
    match name {
        memory::NAME => memory(config, legacy),
        jsonl::NAME => (jsonl(config, workdir), legacy),
        _ => sqlite(config, workdir, legacy),
    }
}

fn sqlite(config: &CollectorConfig, workdir: &Path, legacy: Legacy) -> (OwnSink, Legacy) {
    let settings = &config.sqlite;
    let run = legacy.run.unwrap_or_else(|| Run {
        run_id: format!("{:x}-{}", clock::unix_ns(), std::process::id()),
        collector_id: config.collector_id(),
        started: clock::wall(),
    });
    let path = config.store_path(workdir).unwrap_or_default();
    let (synchronous, own) = (settings.synchronous, run.clone());
    let blueprint = OwnSink {
        name: SinkName::new(sqlite::NAME),
        queue: (settings.queue, settings.when_full),
        pace: Pace {
            batch: settings.batch as usize,
            flush_interval: settings.flush_interval.0,
            retry_for: settings.retry_for.0,
        },
        make: Box::new(move || Box::new(Sqlite::new(path.clone(), synchronous, own.clone()))),
    };
    (blueprint, Legacy { run: Some(run), memory: None })
}

fn memory(config: &CollectorConfig, legacy: Legacy) -> (OwnSink, Legacy) {
    let settings = &config.memory;
    let maxlen = settings.maxlen as usize;
    let memory = legacy.memory.map_or_else(|| Memory::new(maxlen), |memory| memory.resized(maxlen));
    let shared = memory.clone();
    let blueprint = OwnSink {
        name: SinkName::new(memory::NAME),
        queue: (settings.queue, settings.when_full),
        // Nothing is gained by waiting: rows are shared, not written.
        pace: Pace { batch: 1, flush_interval: Duration::ZERO, retry_for: Duration::ZERO },
        make: Box::new(move || Box::new(shared.clone())),
    };
    (blueprint, Legacy { run: None, memory: Some(memory) })
}

fn jsonl(config: &CollectorConfig, workdir: &Path) -> OwnSink {
    let settings = config.jsonl.clone();
    let path = file(jsonl::NAME, config, workdir);
    OwnSink {
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
