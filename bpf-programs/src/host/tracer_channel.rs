//! A tracer's channel in the host: its counts, the batch in progress, and batches that wait for room in the tracer's queue.
//!
//! The kernel counts events in map `counts` *before* it writes records to the ring, so at any time more may be counted than
//! has been read. [`Totals`] compares the two; what the kernel counted and never delivered is counted as lost in the end:
//!
//! ```text
//!  counted by the kernel (seen)
//!  ├─ dropped by filters
//!  ├─ lost: the ring was full, or sampled
//!  ├─ taken: read from the ring ──▶ BatchBuilder ──▶ pending ──▶ tracer's queue
//!  └─ still in the ring; after a detach: written off as lost
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use actors::Outbox;
use model::{BootNs, Checkpoint, LossPoint, OffsetRange, SinkName};

use super::batch::{BatchBuilder, InFlight, RawBatch};
use super::lost_by_owner::LostByOwner;
use super::tracer_slot::TracerSlot;
use crate::programs::Tracer;
use crate::wire::{Count, LossCause, Ring};

/// Limit on the bytes that wait for room in one tracer's queue. Only lifecycle records accumulate here (the other rings are
/// not read while anything waits): they are read for the process table. When a tracer is behind by more than this, the
/// lifecycle ring is not read either.
pub(super) const MAX_PENDING: usize = 4 << 20;

/// The host's end of one tracer: receives the tracer's records and passes them on in batches.
pub(super) struct TracerChannel {
    slot: Arc<TracerSlot>,
    pub(super) outbox: Option<Outbox<RawBatch>>,
    builder: BatchBuilder,
    pending: VecDeque<RawBatch>,
    pending_bytes: usize,
    pub(super) in_flight: InFlight,
    totals: Totals,
    /// Records below this position of the ring were handled by an earlier agent or incarnation, and are skipped.
    begins_at: u64,
}

/// Counts of one tracer's records by the kernel and by this process; the difference is still in the ring.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    /// Records the account had seen before this object was loaded.
    base: u64,
    /// The kernel's counters when this channel was created.
    before: Count,
    /// The kernel's counters since then.
    kernel: Count,
    /// Records read from the ring.
    taken: u64,
    /// Records that never got into the ring.
    lost: u64,
    /// Part of `lost`, by the number of the [`LossCause`]; what is in none was lost because the ring was full.
    by_cause: [u64; LossCause::ALL.len()],
    /// Records dropped by filters in the kernel.
    filtered: u64,
    /// Records that never arrived and were counted as lost.
    written_off: u64,
}

impl Totals {
    /// Returns the records that have left the ring or never got into it.
    fn out(&self) -> u64 {
        self.taken + self.lost + self.filtered + self.written_off
    }
}

impl TracerChannel {
    /// Creates a channel for an object that was just loaded, whose counters start at 0. Records that the previous object
    /// had counted and not delivered are lost.
    pub(super) fn new(slot: Arc<TracerSlot>, now: BootNs) -> Self {
        let totals = Totals { base: slot.begin_new_object(now), ..Totals::default() };
        Self::with(slot, totals, 0)
    }

    /// Creates a channel for a pinned ring: resumes from checkpoint `from`, or from the position this process has already
    /// reached. The kernel has counted `kernel` since the ring was created.
    pub(super) fn resumed(
        slot: Arc<TracerSlot>,
        from: Checkpoint,
        kernel: Count,
        since: (BootNs, BootNs),
    ) -> Self {
        let account = &slot.account;
        if account.taken().is_none() {
            account.follow(from);
        }
        let (begins_at, taken) = account.taken().unwrap_or_default();
        // Records lost at the ring are the same for every sink, so any name will do.
        let reported = account.snapshot(&SinkName::new("")).lost.ring;
        let base = from.base;
        account.lose(
            LossPoint::Ring,
            base.saturating_sub(reported),
            since,
            "the earlier pinned rings could not be resumed",
        );
        let lost_here = reported.saturating_sub(base);
        let lost = lost_here.min(kernel.kept_out());
        let written_off = lost_here - lost;
        // Records of these rings that this process counted before; those of an earlier agent are only in the kernel's
        // counter.
        let filtered = account.filtered_in_kernel();
        let totals =
            Totals { base, taken, lost, by_cause: kernel.lost, filtered, written_off, ..Totals::default() };
        slot.note_out(base + totals.out());
        Self::with(slot, totals, begins_at)
    }

    fn with(slot: Arc<TracerSlot>, totals: Totals, begins_at: u64) -> Self {
        Self {
            slot,
            outbox: None,
            builder: BatchBuilder::default(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            in_flight: InFlight::default(),
            totals,
            begins_at,
        }
    }

    /// Returns the position of the tracer's first record in `ring` that must stay there until the store has committed it.
    pub(super) fn held_from(&self, ring: Ring) -> Option<u64> {
        if self.slot.tracer.kind.ring() != ring {
            return None;
        }
        let held = self.slot.account.held_from();
        let building = self.builder.starts_at().filter(|_| self.slot.account.taken().is_some());
        held.into_iter().chain(building).min()
    }

    /// Returns the tracer's records that have been read from the ring since it was made.
    pub(super) fn taken(&self) -> u64 {
        self.totals.taken
    }

    /// Stops holding records in the ring for the store, because the store is down.
    pub(super) fn stop_holding(&self) {
        self.slot.account.release_settled();
    }

    /// Creates a channel for an object already in use; ignores events the kernel counted before (`before`).
    pub(super) fn joined_late(slot: Arc<TracerSlot>, now: BootNs, before: Count) -> Self {
        let mut channel = Self::new(slot, now);
        channel.totals.before = before;
        channel
    }

    /// Returns whether the channel counts into the slot's account.
    pub(super) fn has_account_of(&self, slot: &Arc<TracerSlot>) -> bool {
        Arc::ptr_eq(&self.slot.account, &slot.account)
    }

    pub(super) fn tracer(&self) -> &'static Tracer {
        self.slot.tracer
    }

    /// Adds one record of this tracer to the batch in progress.
    pub(super) fn take(&mut self, record: &[u8], at: BootNs, range: OffsetRange) {
        if range.start < self.begins_at {
            return;
        }
        self.totals.taken += 1;
        self.builder.push_from(range, record, at);
        if self.builder.is_full() {
            self.flush();
        }
    }

    /// Completes the batch in progress and passes it on.
    pub(super) fn flush(&mut self) {
        self.report_seen();
        let Some(mut batch) = self.builder.take(&self.slot.account) else { return };
        if self.outbox.is_none() {
            let count = batch.claim.count();
            batch.claim.lose(count, "the tracer was detached");
        } else {
            batch.weigh(&self.in_flight);
            self.pending_bytes += batch.size();
            self.pending.push_back(batch);
            self.offer();
        }
    }

    /// Passes on waiting batches, as far as the queue has room.
    pub(super) fn offer(&mut self) {
        // A tracer that was given up reads no more; its records must not block the others.
        let Some(outbox) = self.outbox.as_ref().filter(|outbox| !outbox.is_closed()) else {
            return self.give_up_pending();
        };
        while let Some(batch) = self.pending.pop_front() {
            let size = batch.size();
            if let Err(batch) = outbox.offer(batch) {
                self.pending.push_front(batch);
                return;
            }
            self.pending_bytes -= size;
        }
    }

    /// Drops the waiting batches; their claims count the records as lost.
    fn give_up_pending(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
    }

    /// Returns whether as much waits for room as may.
    pub(super) fn is_far_behind(&self) -> bool {
        self.pending_bytes > MAX_PENDING
    }

    /// Returns whether a batch waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes over the kernel's counters and counts what did not get into the ring during `span`, by owner as far as `owners`
    /// knows them.
    pub(super) fn count(&mut self, kernel: Count, owners: &mut LostByOwner, span: (BootNs, BootNs)) {
        let kernel = kernel.since(self.totals.before);
        self.totals.kernel = kernel;
        self.report_seen();
        let mut rest = kernel.kept_out().saturating_sub(self.totals.lost);
        self.totals.lost += rest;
        let [full, others @ ..] = LossCause::ALL;
        for cause in others {
            let known = &mut self.totals.by_cause[cause as usize];
            let lost = kernel.lost_for(cause).saturating_sub(*known).min(rest);
            *known += lost;
            rest -= lost;
            lose(&self.slot, owners, lost, cause, span);
        }
        lose(&self.slot, owners, rest, full, span);
        let filtered = kernel.filtered.saturating_sub(self.totals.filtered);
        self.totals.filtered += filtered;
        self.slot.account.filter_in_kernel(filtered);
        self.report_seen();
    }

    /// Returns whether every record the kernel counted has been read or counted as lost.
    pub(super) fn is_drained(&self) -> bool {
        self.totals.kernel.seen <= self.totals.out()
    }

    /// Counts as lost the records the kernel counted and never delivered.
    pub(super) fn write_off(&mut self, span: (BootNs, BootNs), cause: &str) {
        let missing = self.totals.kernel.seen.saturating_sub(self.totals.out());
        self.totals.written_off += missing;
        self.slot.account.lose(LossPoint::Ring, missing, span, cause);
    }

    /// Returns the records that filters dropped in the kernel.
    pub(super) fn filtered(&self) -> u64 {
        self.totals.filtered
    }

    /// Returns all records the kernel counted, over all objects that were loaded.
    pub(super) fn seen(&self) -> u64 {
        let totals = &self.totals;
        // Records read from the ring or kept out of it have been seen, even if the counter was read earlier.
        let kept_out =
            totals.kernel.kept_out().max(totals.lost) + totals.kernel.filtered.max(totals.filtered);
        totals.base + totals.kernel.seen.max(totals.taken + totals.written_off + kept_out)
    }

    fn report_seen(&self) {
        self.slot.account.set_seen(self.seen());
        self.slot.note_out(self.totals.base + self.totals.out());
    }
}

/// Counts records that did not get into their ring, those of each known owner apart.
fn lose(slot: &TracerSlot, owners: &mut LostByOwner, count: u64, cause: LossCause, span: (BootNs, BootNs)) {
    let mut rest = count;
    if count > 0 {
        for (owner, part) in owners.take(slot.tracer.kind, cause, count) {
            rest -= part;
            slot.account.lose_of(owner, LossPoint::Ring, part, span, cause.text());
        }
    }
    slot.account.lose(LossPoint::Ring, rest, span, cause.text());
}
