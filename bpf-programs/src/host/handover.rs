//! Passes the loaded object, with everything still in its rings, from one incarnation of the host to the next.
//!
//! An incarnation takes the object out of the [`Handover`] as [`Kept`], which puts it back when dropped, also by a panic.
//! The supervisor may start a successor while an incarnation hangs with the object; then the successor loads a new one, and
//! the generation number makes the old incarnation discard its own:
//!
//! ```text
//!  incarnation 1 ── take() ──▶ Kept { core, generation 1 } ── drop ──▶ Handover ── take() ──▶ incarnation 2
//!  hangs with generation 1;  incarnation 2 loads generation 2;  on drop 1 ≠ 2: the old object is closed
//! ```

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use model::lock::lock;
use model::{Account, Accounts, ProcessTable};

use super::at_stop::AtStop;
use super::core::Core;
use super::slots::report_gaps;
use super::tracer_slot::TracerSlot;
use crate::errors::LoadError;
use crate::kernel::Kernel;
use crate::programs::Tracer;

type Open = Box<dyn Fn() -> Result<Kernel, LoadError> + Send + Sync>;

/// State shared by all incarnations of the host; lives as long as the host's supervisor entry.
pub(crate) struct Handover {
    slots: Mutex<Vec<Arc<TracerSlot>>>,
    interval: Mutex<Duration>,
    table: ProcessTable,
    accounts: Accounts,
    at_stop: Arc<Mutex<AtStop>>,
    open: Open,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    core: Option<Core>,
    /// Number of objects loaded so far. Only the latest is used.
    generation: u64,
}

impl Handover {
    pub(crate) fn new(
        slots: Vec<Arc<TracerSlot>>,
        table: ProcessTable,
        accounts: Accounts,
        interval: Duration,
        open: Open,
    ) -> Self {
        let (slots, interval) = (Mutex::new(slots), Mutex::new(interval));
        Self { slots, interval, table, accounts, at_stop: Arc::default(), open, left: Mutex::default() }
    }

    /// Takes the object the previous incarnation left. If there is none (this is the first incarnation, or the previous
    /// one hangs with it), loads an object and attaches the attached tracers again.
    pub(super) fn take(self: &Arc<Self>) -> Result<Kept, LoadError> {
        let mut left = self.left();
        if let Some(core) = left.core.take() {
            return Ok(Kept {
                core: Some(core),
                processes: None,
                generation: left.generation,
                handover: self.clone(),
            });
        }
        left.generation += 1;
        let generation = left.generation;
        drop(left);
        let slots = self.slots();
        let mut core = Core::new((self.open)()?, &slots, self.table.clone(), self.accounts.clone());
        if generation == 1 {
            report_gaps(&core.kernel.pin_info, &core.accounts);
        }
        let processes = core.read_processes().map_err(|cause| {
            // /proc is no substitute: its start times are in clock ticks, so records would not match any process.
            tracing::warn!(%cause, "processes older than the agent will lack executable and working folder");
        });
        for slot in &slots {
            if let Some(outbox) = slot.outbox()
                && let Err(cause) = core.attach(slot, outbox)
            {
                tracing::error!(tracer = slot.tracer.name, %cause, "attaching again failed");
            }
        }
        Ok(Kept {
            core: Some(core),
            processes: processes.ok().map(|(_, count)| count),
            generation,
            handover: self.clone(),
        })
    }

    /// Returns the slots of all tracers that are attached or have been.
    pub(super) fn slots(&self) -> Vec<Arc<TracerSlot>> {
        lock(&self.slots).clone()
    }

    pub(super) fn slot(&self, kind: crate::wire::Kind) -> Option<Arc<TracerSlot>> {
        lock(&self.slots).iter().find(|slot| slot.tracer.kind == kind).cloned()
    }

    /// Returns the tracer's slot with this account: the existing one, or a new one to be stored once it is attached.
    pub(super) fn slot_for(&self, tracer: &'static Tracer, account: &Arc<Account>) -> Arc<TracerSlot> {
        let present = self.slot(tracer.kind).filter(|slot| Arc::ptr_eq(&slot.account, account));
        present.unwrap_or_else(|| Arc::new(TracerSlot::new(tracer, account.clone())))
    }

    /// Stores a slot, replacing its tracer's previous one.
    pub(super) fn store_slot(&self, slot: Arc<TracerSlot>) {
        let mut slots = lock(&self.slots);
        slots.retain(|other| other.tracer.kind != slot.tracer.kind);
        slots.push(slot);
    }

    /// Returns the interval at which an incarnation polls quiet rings.
    pub(super) fn interval(&self) -> Duration {
        *lock(&self.interval)
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        *lock(&self.interval) = interval;
    }

    /// Sets what a stopping host does with its programs; that may change until then.
    pub(crate) fn ending(self, at_stop: Arc<Mutex<AtStop>>) -> Self {
        Self { at_stop, ..self }
    }

    pub(super) fn at_stop(&self) -> AtStop {
        *lock(&self.at_stop)
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        lock(&self.left)
    }
}

/// The object while one incarnation uses it; dropping this returns it to the [`Handover`].
pub(super) struct Kept {
    /// The object with the host's state; `None` after an orderly stop.
    pub(super) core: Option<Core>,
    /// Number of processes read at loading, if the object was loaded for this incarnation.
    pub(super) processes: Option<usize>,
    generation: u64,
    handover: Arc<Handover>,
}

impl Kept {
    /// Returns whether a successor has loaded its own object, because this incarnation seemed to hang.
    pub(super) fn is_outdated(&self) -> bool {
        self.handover.left().generation != self.generation
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut left = self.handover.left();
        if left.generation == self.generation {
            left.core = self.core.take();
        }
    }
}
