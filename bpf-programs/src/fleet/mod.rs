//! The kernel tracers of a running agent, and changes to them by reload, `enable` and `disable`.
//!
//! A change leaves every tracer running that has the same section before and after. A tracer to be stopped is detached
//! first; then the records the kernel still holds of it are read, decoded and sent. Its account remains. The host runs while
//! any tracer does.
//!
//! ```text
//!  new configuration ─ prepare() ─▶ Prepared ─ apply() ─▶ plan: stop […], start […]
//!                      (checks only)                        │
//!       settings to the host ─▶ detach, drain, stop ─▶ start, attach ─▶ stop an idle host ─▶ Changes
//! ```

mod change;
mod plan;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use actors::{LoopRef, Outbox, Supervisor};
use model::{Accounts, Batch, Changes, Problem, ProcessTable, TracerName, changed_keys};
use thiserror::Error;

use crate::catalog::tracers;
use crate::config::{EbpfConfig, TracersConfig};
use crate::host::EbpfHost;
use crate::loader::Pinning;
use crate::programs::Tracer;
use crate::spawn::unpin;
use change::Inner;
use plan::Present;
pub use plan::{Prepared, TracerHandle};

/// Keys of `[ebpf]` that can change while the host runs; all others need a restart of the agent.
const LIVE: [&str; 5] = ["disabled", "poll_interval", "pushdown", "strict", "uids"];

/// Handle to the kernel tracers of an agent and their host. Clones share the same tracers.
#[derive(Clone)]
pub struct EbpfTracers {
    inner: Arc<Inner>,
}

/// Error of enabling or disabling a tracer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotSwitched {
    /// There is no tracer of that name.
    #[error("there is no kernel tracer {0}")]
    Unknown(String),
    /// Kernel tracers are disabled as a whole.
    #[error("kernel tracers are disabled: ebpf.disabled is set")]
    AllDisabled,
    /// The tracer can't run.
    #[error("tracer {tracer} can't run: {cause}")]
    Failed {
        tracer: String,
        /// The tracer's first error.
        cause: String,
    },
    /// The tracer was not attached in time.
    #[error("timed out waiting for tracer {0}; see `duetector-actors status`")]
    TimedOut(String),
}

/// Starts every enabled tracer, and the host unless none is enabled. A tracer that can't run gives up, with the cause in
/// its status and advice in its state; the others run.
///
/// # Panics
/// Panics outside an actix system.
pub fn spawn(
    supervisor: &Supervisor,
    config: &EbpfConfig,
    sections: &TracersConfig,
    accounts: &Accounts,
    processes: ProcessTable,
    collector: &Outbox<Batch>,
    pinning: Option<Pinning>,
) -> EbpfTracers {
    let present = Present { config: config.clone(), sections: sections.clone(), ..Present::default() };
    let inner = Inner {
        supervisor: supervisor.clone(),
        accounts: accounts.clone(),
        processes,
        collector: collector.clone(),
        pinning,
        keep: Arc::default(),
        rules: Arc::default(),
        present: Mutex::new(present),
        changing: tokio::sync::Mutex::default(),
    };
    let wanted = inner.present().wanted();
    if wanted.is_empty()
        && let Some(pinning) = &inner.pinning
        && unpin(&pinning.workdir)
    {
        tracing::warn!("removed pinned rings and the records in them: no kernel tracer is enabled now");
    }
    inner.start(&wanted);
    EbpfTracers { inner: Arc::new(inner) }
}

impl EbpfTracers {
    /// Returns the host, if a tracer needs it. It has to be stopped first, alone: it ends when the rings are empty and all
    /// records have been passed to the tracers.
    pub fn host(&self) -> Option<LoopRef<EbpfHost>> {
        self.inner.present().host.clone()
    }

    /// Returns the tracers, including those disabled at run time. They have to be stopped after the host; each passes on
    /// its records before it ends.
    pub fn tracers(&self) -> Vec<TracerHandle> {
        let present = self.inner.present();
        tracers().filter_map(|tracer| present.tracers.get(tracer.name).cloned()).collect()
    }

    /// Returns every tracer, running or not: its own name, and the name it is stored under.
    pub fn catalog(&self) -> Vec<(&'static str, TracerName)> {
        let present = self.inner.present();
        tracers().map(|tracer| (tracer.name, present.sections.stored_as(tracer.name))).collect()
    }

    /// Sets whether a stopped host leaves its pinned programs running for the next agent.
    pub fn set_keep(&self, keep: bool) {
        self.inner.keep.store(keep, Relaxed);
    }

    /// Returns whether a tracer that can't run ends the agent.
    pub fn is_strict(&self) -> bool {
        self.inner.present().config.strict
    }

    /// Checks whether these settings could be applied, without changing anything.
    ///
    /// # Errors
    /// Returns all problems with the settings, including every one that can't change while the agent runs.
    pub fn prepare(&self, config: &EbpfConfig, sections: &TracersConfig) -> Result<Prepared, Vec<Problem>> {
        let mut problems = config.validate("ebpf");
        problems.extend(sections.validate("tracer"));
        let present = self.inner.present();
        if present.host.is_some() {
            let fixed = changed_keys(&present.config, config);
            let fixed = fixed.iter().filter(|key| !LIVE.contains(&key.as_str()));
            problems.extend(fixed.map(|key| Problem::needs_restart(format!("ebpf.{key}"))));
            problems.extend(present.renamed(sections).into_iter().filter(|_| config.pin));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Prepared { config: config.clone(), sections: sections.clone() })
    }

    /// Changes settings, then stops, restarts and starts the tracers that differ. Returns when the stopped ones have passed
    /// on all their records and the started ones are attached or have failed. A caller that drops the future does not
    /// interrupt the change.
    pub async fn apply(&self, prepared: Prepared) -> Changes {
        let inner = self.inner.clone();
        // The task's result is missing only when the runtime shuts down.
        actix::spawn(async move { inner.apply(prepared).await }).await.unwrap_or_default()
    }

    /// Starts a tracer that is disabled, was disabled at run time, or was given up; returns false if it runs already.
    ///
    /// # Errors
    /// Fails if there is no such tracer, kernel tracers are disabled, or the tracer can't run or takes too long.
    pub async fn enable(&self, name: &str) -> Result<bool, NotSwitched> {
        let (inner, tracer) = (self.inner.clone(), known(name)?);
        let enabled = actix::spawn(async move { inner.enable(tracer).await });
        enabled.await.unwrap_or(Err(NotSwitched::TimedOut(name.to_owned())))
    }

    /// Stops a tracer until it is enabled again, its section changes, or the agent restarts. Returns when it has passed on
    /// all its records; false if it was not running.
    ///
    /// # Errors
    /// Fails if there is no tracer of that name.
    pub async fn disable(&self, name: &str) -> Result<bool, NotSwitched> {
        let (inner, tracer) = (self.inner.clone(), known(name)?);
        let disabled = actix::spawn(async move { inner.disable(tracer).await });
        disabled.await.map_err(|_| NotSwitched::TimedOut(name.to_owned()))
    }
}

fn known(name: &str) -> Result<&'static Tracer, NotSwitched> {
    tracers().find(|tracer| tracer.name == name).ok_or_else(|| NotSwitched::Unknown(name.to_owned()))
}
