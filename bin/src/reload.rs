//! `reload`: applies a changed configuration while the agent runs, either all of it or nothing.
//!
//! The sources of the start (file, environment, `--set`) are read again. Every subsystem then prepares its part of the
//! change without touching what runs. If any of them finds a problem, all problems are reported and nothing changes.
//! Otherwise every subsystem applies what it prepared. Applying can't fail: a tracer or sink that does not work with its
//! new settings reports that in its own status.
//!
//! ```text
//! read sources ─► prepare (each subsystem) ─┬─ no problem ─► apply (each subsystem) ─► the new configuration is in force
//!                                           └─ problems ───► report all, change nothing
//! ```
//!
//! One change happens at a time: `reload`, `tracers enable|disable` and the stop of the agent wait for each other on the
//! change lock.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use actors::{Prepared, clock};
use model::Problem;
use model::lock::lock;

use crate::changes::Changes;
use crate::config::{Config, Loaded, Sources, Warning, load_for};
use crate::status::{ConfigStatus, LastReload, Reloaded};
use crate::subsystem::Subsystem;

/// Configuration sections that can change while the agent runs: the agent applies them, or, as `server`, does not use them. All others
/// need a restart.
const SECTIONS: [&str; 8] =
    ["collector", "ebpf", "filter", "server", "shell", "store", "subprocess", "tracer"];

/// Holds the configuration in force and replaces it on request.
pub(crate) struct Reloader {
    sources: Sources,
    current: Mutex<Current>,
    /// Held while tracers, sinks or settings change, so that one change happens at a time.
    change_lock: tokio::sync::Mutex<ChangeState>,
}

struct Current {
    loaded: Arc<Loaded>,
    status: ConfigStatus,
}

/// State behind the change lock.
#[derive(Default)]
pub(crate) struct ChangeState {
    /// True once the agent is stopping: no change is accepted any more.
    stopping: bool,
}

/// Permission to change what runs, until dropped.
pub(crate) type ChangeGuard<'a> = tokio::sync::MutexGuard<'a, ChangeState>;

impl Reloader {
    /// Creates the reloader of an agent that was started with this configuration.
    pub(crate) fn new(sources: Sources, loaded: Arc<Loaded>) -> Self {
        let status = ConfigStatus { loaded: clock::wall().to_text(), generation: 1, last_reload: None };
        let current = Mutex::new(Current { loaded, status });
        Self { sources, current, change_lock: tokio::sync::Mutex::default() }
    }

    /// Returns the `config` object of `status`.
    pub(crate) fn status(&self) -> ConfigStatus {
        self.current().status.clone()
    }

    /// Returns the configuration in force.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.current().loaded.clone()
    }

    /// Waits until no other change is under way. Returns `None` if the agent is stopping.
    pub(crate) async fn change_lock(&self) -> Option<ChangeGuard<'_>> {
        let guard = self.change_lock.lock().await;
        if guard.stopping { None } else { Some(guard) }
    }

    /// Waits until no change is under way and refuses all later ones.
    pub(crate) async fn close(&self) {
        self.change_lock.lock().await.stopping = true;
    }

    /// Loads the configuration again and applies it, or returns all its problems.
    pub(crate) async fn reload(&self, subsystems: &[Arc<dyn Subsystem>]) -> Reloaded {
        let Some(_guard) = self.change_lock().await else {
            return Reloaded::Refused { problems: "the agent is stopping".to_owned() };
        };
        let result = match self.prepare(subsystems).await {
            Ok((loaded, ready)) => {
                let mut changes = Vec::new();
                for change in ready {
                    changes.extend(change.await);
                }
                let changes = Changes::from(changes);
                warn(&loaded);
                let mut current = self.current();
                current.loaded = Arc::new(loaded);
                current.status.loaded = clock::wall().to_text();
                current.status.generation += 1;
                let summary = changes.to_string().replace('\n', ", ");
                tracing::info!(
                    changes = summary,
                    generation = current.status.generation,
                    "configuration applied"
                );
                Reloaded::Applied { changes }
            }
            Err(cause) => {
                let problems = format!("{cause:#}");
                tracing::error!(problems, "configuration refused, nothing changed");
                Reloaded::Refused { problems }
            }
        };
        let last = LastReload { at: clock::wall().to_text(), result: result.clone() };
        self.current().status.last_reload = Some(last);
        result
    }

    /// Loads the configuration and has each subsystem prepare. Runs on a thread of its own, because it reads files and may
    /// compile eBPF programs.
    async fn prepare(&self, subsystems: &[Arc<dyn Subsystem>]) -> anyhow::Result<(Loaded, Vec<Prepared>)> {
        let (sources, subsystems, before) = (self.sources.clone(), subsystems.to_vec(), self.loaded());
        let prepared = tokio::task::spawn_blocking(move || {
            if let Some(file) = &sources.file {
                check_readable_again(file)?;
            }
            let mut ready = Vec::new();
            let loaded = load_for(&sources, |config| {
                let mut problems = fixed_sections(&before.config, config);
                for subsystem in &subsystems {
                    match subsystem.prepare(config) {
                        Ok(change) => ready.push(change),
                        Err(wrong) => problems.extend(wrong),
                    }
                }
                problems
            })?;
            Ok((loaded, ready))
        });
        prepared.await?
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.current)
    }
}

/// Logs what is valid in a configuration but probably not intended, and what could not be translated from duetector.
pub(crate) fn warn(loaded: &Loaded) {
    for warning in loaded.config.warnings() {
        let (key, warning) = (warning.key, warning.message);
        tracing::warn!(key, warning, "check this setting of the configuration");
    }
    report_left_out(&loaded.warnings);
}

/// Refuses a configuration file that is a pipe: read a second time it would seem empty, which means all defaults.
fn check_readable_again(file: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(file) {
        Ok(found) if !found.is_file() => {
            anyhow::bail!(
                "can't reload from {}: it is not a regular file and can't be read a second time",
                file.display()
            )
        }
        // A missing file is reported by the loader.
        _ => Ok(()),
    }
}

fn fixed_sections(before: &Config, after: &Config) -> Vec<Problem> {
    let changed = model::changed_keys(before, after).into_iter();
    changed.filter(|key| !SECTIONS.contains(&key.as_str())).map(Problem::needs_restart).collect()
}

/// Logs settings that were accepted, but not as they were written: renamed ones, and those of a Python duetector
/// configuration that could not be kept.
pub(crate) fn report_left_out(left_out: &[Warning]) {
    for warning in left_out {
        let setting = warning.to_string();
        tracing::warn!(setting, "{}", warning.headline());
    }
    if left_out.iter().any(Warning::is_duetector) {
        tracing::info!("`duetector-actors config import FILE` converts the file, then these warnings end");
    }
}
