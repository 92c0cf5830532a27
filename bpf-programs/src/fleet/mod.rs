//! The kernel tracers of a running agent, and changes to them by reload, `enable` and `disable`.
//!
//! A change leaves every tracer running that has the same section before and after. A tracer to be stopped is detached
//! first; then the records the kernel still holds of it are read, decoded and sent. Its account remains. The host runs while
//! any tracer does.
//!
//! ```text
//!  new configuration ─ prepare() ─▶ Prepared ─ await ─▶ settings to the host
//!                      (checks only)                      │
//!                 the set of children: detach, drain, stop ─▶ start, attach ─▶ stop an idle host ─▶ changes
//! ```

mod kind;

use std::sync::{Arc, Mutex};

use actors::{AnyChild, ChildKind as _, ChildSet, Outbox, Prepared, Supervisor};
use model::lock::lock;
use model::{Accounts, Batch, Change, Problem, ProcessTable, Subject, TracerName, What, changed_keys};

use crate::config::KernelSettings;
use crate::host::{AtStop, report_missing};
use crate::loader::{Pinning, abandon};
use crate::pin_choice::PinChoice;
use kind::Fleet;
pub use kind::{NotSwitched, TracerHandle};
use kind::{Present, of_tracers};

/// Keys of `[ebpf]` that can change while the host runs; all others need a restart of the agent.
const LIVE: [&str; 5] = ["disabled", "poll_interval", "pushdown", "strict", "uids"];

/// Handle to the kernel tracers of an agent and their host. Clones share the same tracers.
#[derive(Clone)]
pub struct EbpfTracers {
    set: ChildSet<Fleet>,
}

/// Starts every enabled tracer, and the host unless none is enabled. A tracer that can't run gives up, with the cause in
/// its status and advice in its state; the others run.
///
/// # Panics
/// Panics outside an actix system.
pub fn spawn(
    supervisor: &Supervisor,
    settings: KernelSettings,
    accounts: &Accounts,
    processes: ProcessTable,
    collector: &Outbox<Batch>,
    pinning: Option<Pinning>,
) -> EbpfTracers {
    let tracers = of_tracers(&settings);
    if !tracers.iter().any(Fleet::enables)
        && let Some(pinning) = &pinning
    {
        report_missing(&abandon(&pinning.clone().with_names(&settings.sections)), accounts);
    }
    let fleet = Fleet {
        supervisor: supervisor.clone(),
        accounts: accounts.clone(),
        processes,
        collector: collector.clone(),
        pinning,
        at_stop: Arc::default(),
        rules: Arc::default(),
        present: Mutex::new(Present { settings, host: None }),
    };
    EbpfTracers { set: ChildSet::start_all(fleet, tracers) }
}

impl EbpfTracers {
    /// Returns the host, if a tracer needs it. It has to be stopped first, alone: it ends when the rings are empty and all
    /// records have been passed to the tracers.
    pub fn host(&self) -> Option<Arc<dyn AnyChild>> {
        self.set.kind().present().host.clone().map(|host| Arc::new(host) as _)
    }

    /// Returns the tracers, including those disabled at run time. They have to be stopped after the host; each passes on
    /// its records before it ends.
    pub fn tracers(&self) -> Vec<TracerHandle> {
        let members = self.set.members().into_iter();
        members.filter_map(|it| Some(TracerHandle { off: it.is_off(), ..it.child? })).collect()
    }

    /// Returns every tracer, running or not: its own name, and the name it is stored under.
    pub fn catalog(&self) -> Vec<(&'static str, TracerName)> {
        let members = self.set.members().into_iter();
        members.map(|it| (it.settings.tracer.name, it.settings.stored_as())).collect()
    }

    /// Makes the host leave its pins when it is stopped, for [`crate::unpin`]; with `recording` their programs go on
    /// recording for the next agent.
    pub fn leave_pins(&self, recording: bool) {
        *lock(&self.set.kind().at_stop) = if recording { AtStop::GoOn } else { AtStop::LeavePins };
    }

    /// Returns whether a tracer that can't run ends the agent.
    pub fn is_strict(&self) -> bool {
        self.set.kind().present().settings.ebpf.strict
    }

    /// Checks whether these settings could be applied, without changing anything. The change then changes settings, and
    /// stops, restarts and starts the tracers that differ. It is complete when the stopped ones have passed on all their
    /// records and the started ones are attached or have failed.
    ///
    /// # Errors
    /// Returns all problems with the settings, including every one that can't change while the agent runs.
    pub fn prepare(&self, settings: KernelSettings) -> Result<Prepared, Vec<Problem>> {
        let mut problems = settings.ebpf.validate("ebpf");
        problems.extend(settings.sections.validate("tracer"));
        let present = self.set.kind().present();
        if present.host.is_some() {
            let fixed = changed_keys(&present.settings.ebpf, &settings.ebpf);
            let fixed = fixed.iter().filter(|key| !LIVE.contains(&key.as_str()));
            problems.extend(fixed.map(|key| Problem::needs_restart(format!("ebpf.{key}"))));
            if settings.ebpf.pin == PinChoice::Always {
                problems.extend(present.unpinning(&settings));
            }
        }
        self.set.prepare(problems, |set| async move {
            let tracers = of_tracers(&settings);
            let changed = set.kind().take_over(settings).await;
            let mut changes = set.apply(tracers).await;
            let setting = |key| Change::new(What::Changed, Subject::Setting(format!("ebpf.{key}")));
            changes.extend(changed.into_iter().map(setting));
            changes
        })
    }

    /// Enables or disables a tracer until its section changes or the agent restarts. Enabling also starts a tracer that was
    /// given up, and returns when it is attached; disabling returns when it has passed on all its records. Returns false if
    /// the tracer was in that state already.
    ///
    /// # Errors
    /// Fails if there is no such tracer, kernel tracers are disabled, or the tracer can't run or takes too long.
    pub async fn set_enabled(&self, name: &TracerName, on: bool) -> Result<bool, NotSwitched> {
        let tracer = self.set.members().into_iter().find(|it| it.settings.stored_as() == *name);
        let tracer = tracer.ok_or_else(|| NotSwitched::Unknown(name.to_string()))?.settings.tracer.name;
        if on && self.set.kind().present().settings.ebpf.disabled {
            return Err(NotSwitched::AllDisabled);
        }
        let done = self.set.set_enabled(tracer, on).await;
        let done = done.unwrap_or_else(|| Err(NotSwitched::TimedOut(tracer.to_owned())))?;
        if let Some(child) = self.set.get(&tracer).and_then(|it| it.child).filter(|_| on && !done) {
            self.set.kind().follow(&child, on).await?;
        }
        Ok(done)
    }
}
