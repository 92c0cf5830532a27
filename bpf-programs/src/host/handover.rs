//! What one incarnation of the host leaves to the next: the loaded object with everything still in it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Account, Accounts, ProcessTable};

use super::core::Core;
use super::seat::Seat;
use super::source::Source;
use crate::loader::LoadError;
use crate::programs::Tracer;

type Open = Box<dyn Fn() -> Result<Box<dyn Source>, LoadError> + Send + Sync>;

/// Lives as long as the agent; every incarnation of the host has it.
pub(crate) struct Handover {
    seats: Mutex<Vec<Arc<Seat>>>,
    interval: Mutex<Duration>,
    table: ProcessTable,
    accounts: Accounts,
    /// Told to end, the host leaves the kernel side at work for a successor.
    keep: Arc<AtomicBool>,
    open: Open,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    core: Option<Core>,
    /// How often an object was loaded. Only the latest is of use.
    generation: u64,
}

impl Handover {
    pub(crate) fn new(
        seats: Vec<Arc<Seat>>,
        table: ProcessTable,
        accounts: Accounts,
        interval: Duration,
        open: Open,
    ) -> Self {
        let (seats, interval) = (Mutex::new(seats), Mutex::new(interval));
        Self { seats, interval, table, accounts, keep: Arc::default(), open, left: Mutex::default() }
    }

    /// What the predecessor left. If it left nothing (it is the first, or its thread is stuck with it) the
    /// object is loaded, and the tracers that were attached are attached again.
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
        let seats = self.seats();
        let mut core = Core::new((self.open)()?, &seats, self.table.clone(), self.accounts.clone());
        let processes = core.read_processes().map_err(|cause| {
            // Not from /proc instead: it tells start times in ticks, so that no record's process would be found.
            tracing::warn!(%cause, "processes older than the agent will lack executable and working folder");
        });
        for seat in &seats {
            if let Some(outbox) = seat.outbox()
                && let Err(cause) = core.attach(seat, outbox)
            {
                tracing::error!(tracer = seat.tracer.name, %cause, "attaching again failed");
            }
        }
        Ok(Kept { core: Some(core), processes: processes.ok(), generation, handover: self.clone() })
    }

    /// Every tracer that is attached or was.
    pub(super) fn seats(&self) -> Vec<Arc<Seat>> {
        lock(&self.seats).clone()
    }

    pub(super) fn seat(&self, kind: crate::wire::Kind) -> Option<Arc<Seat>> {
        lock(&self.seats).iter().find(|seat| seat.tracer.kind == kind).cloned()
    }

    /// The tracer's seat with these books: the one there is, or another, to be kept once it is attached.
    pub(super) fn seat_for(&self, tracer: &'static Tracer, account: &Arc<Account>) -> Arc<Seat> {
        let present = self.seat(tracer.kind).filter(|seat| Arc::ptr_eq(&seat.account, account));
        present.unwrap_or_else(|| Arc::new(Seat::new(tracer, account.clone())))
    }

    /// Keeps a seat, in place of the one its tracer had.
    pub(super) fn keep_seat(&self, seat: Arc<Seat>) {
        let mut seats = lock(&self.seats);
        seats.retain(|other| other.tracer.kind != seat.tracer.kind);
        seats.push(seat);
    }

    /// How often an incarnation looks at the rings.
    pub(super) fn interval(&self) -> Duration {
        *lock(&self.interval)
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        *lock(&self.interval) = interval;
    }

    /// What the host leaves when it is told to end.
    pub(crate) fn keeping(self, keep: Arc<AtomicBool>) -> Self {
        Self { keep, ..self }
    }

    pub(super) fn keep(&self) -> bool {
        self.keep.load(Relaxed)
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        lock(&self.left)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object in the hands of one incarnation; goes back when that ends, however it ends.
pub(super) struct Kept {
    /// `None` once it was let go on purpose.
    pub(super) core: Option<Core>,
    /// Processes read at loading, if it was loaded for this incarnation.
    pub(super) processes: Option<usize>,
    generation: u64,
    handover: Arc<Handover>,
}

impl Kept {
    /// Whether a successor has loaded an object of its own: this one was thought stuck.
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
