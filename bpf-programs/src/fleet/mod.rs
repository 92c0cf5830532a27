//! The kernel tracers of a running agent: which there are, and how that changes.
//!
//! A tracer whose section is the same before and after is not touched. One that goes is detached first: what the
//! kernel holds of it is read, decoded and sent; its account stays in the books. The host is there while a tracer is.

mod change;
mod plan;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use actors::{ChildRef, Outbox, Supervisor};
use model::{Accounts, Batch, Changes, Problem, ProcessTable, TracerName, changed_keys};
use thiserror::Error;

use crate::config::{EbpfConfig, TracersConfig};
use crate::host::{EbpfHost, HostState};
use crate::loader::Pinning;
use crate::programs::{Tracer, tracers};
use crate::spawn::unpin;
use change::Inner;
use plan::Present;
pub use plan::{Prepared, TracerHandle};

/// Keys of `[ebpf]` that can change while the host runs; what is not among them needs a restart of the agent.
const LIVE: [&str; 5] = ["disabled", "look_interval", "pushdown", "strict", "uids"];
/// All kernel tracers that are to run, and their host. Clones are the same.
#[derive(Clone)]
pub struct EbpfTracers {
    inner: Arc<Inner>,
}

/// Why a tracer is not as it was told to be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotTurned {
    /// There is none of that name.
    #[error("no kernel tracer {0}")]
    Unknown(String),
    /// No kernel tracer may run.
    #[error("kernel tracers are off: ebpf.disabled is set")]
    AllDisabled,
    /// It can't run.
    #[error("tracer {tracer} can't run: {cause}")]
    Fell {
        /// Its name.
        tracer: String,
        /// Its first fault.
        cause: String,
    },
    /// It is not there yet.
    #[error("tracer {0} takes its time: look at its status")]
    Slow(String),
}

/// Starts every enabled tracer, and the host if there is one. A tracer that can't run gives up, with the cause in
/// its status and what to do in its state; the rest runs.
///
/// # Panics
/// Outside an actix system.
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
        tracing::warn!("what was pinned before is let go, with what it held: no kernel tracer is wanted now");
    }
    inner.start(&wanted);
    EbpfTracers { inner: Arc::new(inner) }
}

impl EbpfTracers {
    /// The host, while there is a tracer that needs it: to be stopped first, alone. It ends when the rings are empty
    /// and all is handed to the tracers.
    pub fn host(&self) -> Option<ChildRef<EbpfHost, HostState>> {
        self.inner.present().host.clone()
    }

    /// The tracers, those that were disabled at run time too: to be stopped after the host. Each hands on what it has
    /// before it ends.
    pub fn tracers(&self) -> Vec<TracerHandle> {
        let present = self.inner.present();
        tracers().filter_map(|tracer| present.tracers.get(tracer.name).cloned()).collect()
    }

    /// Every tracer, whether it runs or not: its own name, and the one it is stored under.
    pub fn catalog(&self) -> Vec<(&'static str, TracerName)> {
        let present = self.inner.present();
        tracers().map(|tracer| (tracer.name, present.sections.stored_as(tracer.name))).collect()
    }

    /// What the host does when it is stopped: with `keep` its pinned rings and programs stay at work for a successor.
    pub fn set_keep(&self, keep: bool) {
        self.inner.keep.store(keep, Relaxed);
    }

    /// Whether a tracer that can't run is to end the agent.
    pub fn is_strict(&self) -> bool {
        self.inner.present().config.strict
    }

    /// Looks whether these settings could be applied. Nothing that runs is touched.
    ///
    /// # Errors
    /// All that is wrong with them, and every setting that can't change while the agent runs.
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

    /// Changes settings, then removes, restarts and adds what differs from before. Comes back when what went has
    /// handed on all it had and what came is attached, or has said why not; a caller that does not wait for that cuts
    /// nothing short.
    pub async fn apply(&self, prepared: Prepared) -> Changes {
        let inner = self.inner.clone();
        // It can only fail to be told what changed when the runtime shuts down.
        actix::spawn(async move { inner.apply(prepared).await }).await.unwrap_or_default()
    }

    /// Starts a tracer that is disabled, was disabled at run time, or was given up; false if it runs already.
    ///
    /// # Errors
    /// When there is none of that name, none may run, it can't run, or takes too long.
    pub async fn enable(&self, name: &str) -> Result<bool, NotTurned> {
        let (inner, tracer) = (self.inner.clone(), known(name)?);
        let enabled = actix::spawn(async move { inner.enable(tracer).await });
        enabled.await.unwrap_or(Err(NotTurned::Slow(name.to_owned())))
    }

    /// Stops a tracer until it is enabled again, its section changes, or the agent restarts; false if it does not run.
    /// Answered when all it had is handed on.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn disable(&self, name: &str) -> Result<bool, NotTurned> {
        let (inner, tracer) = (self.inner.clone(), known(name)?);
        let disabled = actix::spawn(async move { inner.disable(tracer).await });
        disabled.await.map_err(|_| NotTurned::Slow(name.to_owned()))
    }
}

fn known(name: &str) -> Result<&'static Tracer, NotTurned> {
    tracers().find(|tracer| tracer.name == name).ok_or_else(|| NotTurned::Unknown(name.to_owned()))
}
