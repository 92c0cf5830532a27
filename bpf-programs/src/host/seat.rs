//! What of a tracer outlives host, tracer actor and loaded object: its place at the host.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use actors::Outbox;
use model::{Account, BootNs, Place, SinkName};

use super::batch::RawBatch;
use crate::programs::Tracer;

/// A tracer's place at the host.
pub(crate) struct Seat {
    pub(crate) tracer: &'static Tracer,
    pub(crate) account: Arc<Account>,
    /// Where its records go while it is attached; a host that has to load anew attaches it again.
    outbox: Mutex<Option<Outbox<RawBatch>>>,
    /// Records that came out of the kernel or were booked as lost there, over all objects.
    out: AtomicU64,
}

impl Seat {
    /// An account that is in use already goes on from where it stands.
    pub(crate) fn new(tracer: &'static Tracer, account: Arc<Account>) -> Self {
        let out = AtomicU64::new(seen(&account));
        Self { tracer, account, outbox: Mutex::default(), out }
    }

    pub(super) fn outbox(&self) -> Option<Outbox<RawBatch>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_outbox(&self, outbox: Option<Outbox<RawBatch>>) {
        *self.outbox.lock().unwrap_or_else(PoisonError::into_inner) = outbox;
    }

    pub(super) fn note_out(&self, out: u64) {
        self.out.fetch_max(out, Relaxed);
    }

    /// Nothing was booked yet.
    pub(super) fn is_new(&self) -> bool {
        self.account.snapshot(&SinkName::new("")).seen == 0
    }

    /// Books what was seen before there was this object, and never came.
    pub(super) fn miss(&self, count: u64, span: (BootNs, BootNs)) {
        self.account.add_seen(count);
        self.out.fetch_add(count, Relaxed);
        self.account.lose(Place::Ring, count, span, "the rings before these could not be gone on with");
    }

    /// Books what went down with the object before; returns what was seen so far.
    pub(super) fn begin_anew(&self, now: BootNs) -> u64 {
        let seen = seen(&self.account);
        let missing = seen.saturating_sub(self.out.load(Relaxed));
        self.account.lose(Place::Ring, missing, (now, now), "they went down with the host's eBPF object");
        self.note_out(seen);
        seen
    }
}

/// The same whichever sink looks.
fn seen(account: &Account) -> u64 {
    account.snapshot(&SinkName::new("")).seen
}
