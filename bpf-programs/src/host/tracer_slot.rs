//! The part of a tracer's state that outlives the host, the tracer's actor and the loaded object.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use actors::Outbox;
use model::lock::lock;
use model::{Account, BootNs, Gap, LossPoint, SinkName};

use super::batch::RawBatch;
use crate::programs::Tracer;

/// A tracer's registration with the host: its account, and its queue while it is attached.
pub(crate) struct TracerSlot {
    pub(crate) tracer: &'static Tracer,
    pub(crate) account: Arc<Account>,
    /// Queue for the records while the tracer is attached; a host that loads a new object attaches the tracer again.
    outbox: Mutex<Option<Outbox<RawBatch>>>,
    /// Records read from the kernel or counted as lost there, over all objects.
    out: AtomicU64,
}

impl TracerSlot {
    /// Creates a slot; an account already in use continues from its current counts.
    pub(crate) fn new(tracer: &'static Tracer, account: Arc<Account>) -> Self {
        let out = AtomicU64::new(seen(&account));
        Self { tracer, account, outbox: Mutex::default(), out }
    }

    pub(super) fn outbox(&self) -> Option<Outbox<RawBatch>> {
        lock(&self.outbox).clone()
    }

    pub(super) fn set_outbox(&self, outbox: Option<Outbox<RawBatch>>) {
        *lock(&self.outbox) = outbox;
    }

    pub(super) fn note_out(&self, out: u64) {
        self.out.fetch_max(out, Relaxed);
    }

    /// Returns whether the account has counted nothing yet.
    pub(super) fn is_new(&self) -> bool {
        self.account.snapshot(&SinkName::new("")).seen == 0
    }

    /// Counts as lost `count` records of earlier rings that never arrived.
    pub(super) fn miss(&self, count: u64, span: (BootNs, BootNs)) {
        self.account.add_seen(count);
        self.out.fetch_add(count, Relaxed);
        self.account.lose(LossPoint::Ring, count, span, "the earlier pinned rings could not be resumed");
    }

    /// Notes the gap of records that an earlier agent had read and not stored. The checkpoint that the account follows counts
    /// them.
    pub(super) fn miss_unstored(&self, count: u64, span: (BootNs, BootNs)) {
        if count > 0 {
            let cause = "the agent ended before they were stored";
            self.account.restore_gap(Gap::of(self.account.tracer(), LossPoint::Queue, count, span, cause));
        }
    }

    /// Counts as lost the records that were still in the previous object's rings; returns the records seen so far.
    pub(super) fn begin_new_object(&self, now: BootNs) -> u64 {
        let seen = seen(&self.account);
        let missing = seen.saturating_sub(self.out.load(Relaxed));
        let cause = "they were in the rings of the host's previous eBPF object";
        self.account.lose(LossPoint::Ring, missing, (now, now), cause);
        self.note_out(seen);
        seen
    }
}

/// Returns the records an account has seen, which is the same for every sink.
fn seen(account: &Account) -> u64 {
    account.snapshot(&SinkName::new("")).seen
}
