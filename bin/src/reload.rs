//! A changed configuration, applied while the agent runs: all of it or nothing of it.
//!
//! The same sources as at the start are read again. First everybody makes ready what the new one asks for, which touches
//! nothing that runs; if anybody objects, all objections are told and everything stays as it is. Then everybody applies
//! what was made ready, which can't fail: what does not work once it runs is a tracer's or a sink's own trouble.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::clock;
use model::{Changes, Problem};
use serde::{Deserialize, Serialize};

use crate::commands::start::tell_left_out;
use crate::config::{Config, Loaded, Sources, load_for};
use crate::part::{Apply, Part};

/// Sections whose parts apply them; every other needs a restart.
const SECTIONS: [&str; 6] = ["collector", "ebpf", "filter", "shell", "subprocess", "tracer"];

/// What of the configuration `status` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigStatus {
    /// Local wall time at which the one that holds was loaded.
    pub(crate) loaded: String,
    /// 1 at the start, one more for each reload that was applied.
    pub(crate) generation: u64,
    /// What became of the latest reload.
    pub(crate) last_reload: Option<LastReload>,
}

/// A reload that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastReload {
    /// Local wall time.
    pub(crate) at: String,
    /// What came of it.
    #[serde(flatten)]
    pub(crate) result: Reloaded,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Reloaded {
    /// It holds now.
    Applied {
        /// What is different.
        changes: Changes,
    },
    /// Something is wrong with it: nothing changed.
    Refused {
        /// All that is wrong.
        problems: String,
    },
}

/// The configuration that holds, and how it becomes another.
pub(crate) struct Reloader {
    sources: Sources,
    present: Mutex<Present>,
    /// Held by whoever changes what runs: one at a time.
    changing: tokio::sync::Mutex<Stopping>,
}

struct Present {
    loaded: Arc<Loaded>,
    status: ConfigStatus,
}

/// Whether the agent is past all changes.
#[derive(Default)]
pub(crate) struct Stopping(bool);

/// The right to change what runs.
pub(crate) type Turn<'a> = tokio::sync::MutexGuard<'a, Stopping>;

impl Reloader {
    /// Of an agent that was started with this.
    pub(crate) fn new(sources: Sources, loaded: Arc<Loaded>) -> Self {
        let status = ConfigStatus { loaded: clock::wall().to_text(), generation: 1, last_reload: None };
        let present = Mutex::new(Present { loaded, status });
        Self { sources, present, changing: tokio::sync::Mutex::default() }
    }

    /// What `status` tells.
    pub(crate) fn status(&self) -> ConfigStatus {
        self.present().status.clone()
    }

    /// The configuration that holds.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.present().loaded.clone()
    }

    /// Waits until nobody else changes anything; `None` when the agent is being stopped.
    pub(crate) async fn turn(&self) -> Option<Turn<'_>> {
        let turn = self.changing.lock().await;
        if turn.0 { None } else { Some(turn) }
    }

    /// Waits for the change that is under way; there will be no other.
    pub(crate) async fn close(&self) {
        self.changing.lock().await.0 = true;
    }

    /// Loads and applies, or tells all that is wrong.
    pub(crate) async fn reload(&self, parts: &[Arc<dyn Part>]) -> Reloaded {
        let Some(_turn) = self.turn().await else {
            return Reloaded::Refused { problems: "the agent is being stopped".to_owned() };
        };
        let result = match self.prepare(parts).await {
            Ok((loaded, ready)) => {
                let mut changes = Changes::default();
                for apply in ready {
                    changes.merge(apply().await);
                }
                warn(&loaded);
                let mut present = self.present();
                present.loaded = Arc::new(loaded);
                present.status.loaded = clock::wall().to_text();
                present.status.generation += 1;
                tracing::info!(?changes, generation = present.status.generation, "configuration applied");
                Reloaded::Applied { changes }
            }
            Err(cause) => {
                let problems = format!("{cause:#}");
                tracing::error!(problems, "configuration refused: nothing changed");
                Reloaded::Refused { problems }
            }
        };
        let last = LastReload { at: clock::wall().to_text(), result: result.clone() };
        self.present().status.last_reload = Some(last);
        result
    }

    /// Reads files and may compile programs: off the thread that everybody else is on.
    async fn prepare(&self, parts: &[Arc<dyn Part>]) -> anyhow::Result<(Loaded, Vec<Apply>)> {
        let (sources, parts, before) = (self.sources.clone(), parts.to_vec(), self.loaded());
        let prepared = tokio::task::spawn_blocking(move || {
            if let Some(file) = &sources.file {
                check_readable_again(file)?;
            }
            let mut ready = Vec::new();
            let loaded = load_for(&sources, |config| {
                let mut problems = fixed_sections(&before.config, config);
                for part in &parts {
                    match part.prepare(config) {
                        Ok(apply) => ready.push(apply),
                        Err(wrong) => problems.extend(wrong),
                    }
                }
                problems
            })?;
            Ok((loaded, ready))
        });
        prepared.await?
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what is odd about a configuration, but not wrong.
pub(crate) fn warn(loaded: &Loaded) {
    for warning in loaded.config.warnings() {
        let (key, warning) = (warning.key, warning.message);
        tracing::warn!(key, warning, "the configuration may not mean what it says");
    }
    tell_left_out(&loaded.warnings);
}

/// A pipe gives what it has once; read again it would look like an empty file, which means all defaults.
fn check_readable_again(file: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(file) {
        Ok(found) if !found.is_file() => {
            anyhow::bail!("{} is no regular file: it can't be read again", file.display())
        }
        // That there is none is told in the loader's words.
        _ => Ok(()),
    }
}

fn fixed_sections(before: &Config, after: &Config) -> Vec<Problem> {
    let changed = model::changed_keys(before, after).into_iter();
    changed.filter(|key| !SECTIONS.contains(&key.as_str())).map(Problem::needs_restart).collect()
}
