//! Accounts of tracers whose rings outlive the agent (pinned rings): how far each ring is settled.
//!
//! Such an account owns an [`OffsetTracker`]. Each claim on records of the ring opens a range of offsets, and settling
//! the claim settles the range. Before the store writes rows, it marks them with [`crate::SinkClaim::mark_writing`] and
//! takes a [`Checkpoint`]; it writes rows and checkpoint in one transaction and then calls [`Account::committed`]. Only
//! what is below a committed checkpoint is released to the kernel, so after a crash the next run starts at the last
//! checkpoint with nothing lost and nothing stored twice. While the store can't write, settled ranges are released
//! without one. See [`crate::offsets`] for the ranges themselves.

use std::sync::atomic::Ordering::Relaxed;

use super::rings::Pinned;
use super::{Account, Accounts};
use crate::lock::lock;
use crate::offsets::{Checkpoint, OffsetTracker, Outcomes};
use crate::{LossPoint, Role, WallTime};

impl Account {
    /// Starts tracking how far this tracer's ring is settled. The counts of the previous run, taken from its last
    /// checkpoint, are added to this account's.
    pub fn follow(&self, from: Checkpoint) {
        let Outcomes { stored, filtered, lost } = from.settled;
        // `seen` comes first, so that a reader never finds more settled than seen.
        self.seen.fetch_max(from.settled.out() + lost.ring.max(from.base), Relaxed);
        self.filtered.fetch_add(filtered, Relaxed);
        for (point, count) in
            [(LossPoint::Ring, lost.ring), (LossPoint::Decode, lost.decode), (LossPoint::Queue, lost.queue)]
        {
            self.lost[point as usize].fetch_add(count, Relaxed);
        }
        // Counted as routed, so that a sink that joins later does not count them.
        self.routed.fetch_add(stored + lost.sink, Relaxed);
        for sink in self.sinks() {
            // The checkpoint knows only what the store got; the other sinks are taken to have got the same.
            let (stored, lost) = match sink.id.role {
                Role::Store => (stored, lost.sink),
                Role::Copy => (stored + lost.sink, 0),
            };
            sink.stored.fetch_add(stored, Relaxed);
            sink.lost_sink.fetch_add(lost, Relaxed);
        }
        *lock(&self.track) = Some(OffsetTracker::new(from));
    }

    /// Returns where to continue reading the ring (the end of the last range that was claimed), and how many records
    /// were read from it so far; `None` if the ring is not tracked.
    pub fn taken(&self) -> Option<(u64, u64)> {
        lock(&self.track).as_ref().map(OffsetTracker::taken)
    }

    /// Returns the start of the first range that must stay in the ring.
    pub fn held_from(&self) -> Option<u64> {
        lock(&self.track).as_ref().and_then(OffsetTracker::held_from)
    }

    /// Returns how far the ring will be settled once the rows marked with [`crate::SinkClaim::mark_writing`] are
    /// stored, together with `loss` rows that report `ring_losses` more records lost in the ring.
    pub fn checkpoint(&self, ring_losses: u64) -> Option<Checkpoint> {
        lock(&self.track).as_ref().map(|track| track.checkpoint(ring_losses))
    }

    /// Notes that the store has committed this checkpoint: everything below it may be released to the kernel.
    pub fn committed(&self, checkpoint: &Checkpoint, ring_losses: u64) {
        self.with_track(|track| track.committed(checkpoint.upto, ring_losses));
    }

    /// Releases all settled ranges without a checkpoint, so that the ring does not fill up while the store can't write.
    pub fn release_settled(&self) {
        self.with_track(OffsetTracker::release_settled);
    }

    pub(super) fn with_track(&self, change: impl FnOnce(&mut OffsetTracker)) {
        if let Some(track) = lock(&self.track).as_mut() {
            change(track);
        }
    }

    /// Notes for a claim what became of records of its range, if it has one.
    pub(super) fn settle(&self, segment: Option<u64>, more: Outcomes, all: bool) {
        if let Some(number) = segment {
            self.with_track(|track| track.settle(number, more, all));
        }
    }
}

impl Accounts {
    /// Sets the pinned rings that checkpoints refer to from now on.
    pub fn set_pinned(&self, pinned: Pinned) {
        *lock(&self.rings.pinned) = Some(pinned);
    }

    /// Forgets the pinned rings: no checkpoints refer to them any more, and nothing waits for the store.
    pub fn unpin(&self) {
        *lock(&self.rings.pinned) = None;
        self.all().iter().for_each(|account| *lock(&account.track) = None);
    }

    /// Returns the pinned rings, if there are any.
    pub fn pinned(&self) -> Option<Pinned> {
        lock(&self.rings.pinned).clone()
    }

    /// Sets since when nothing recorded before this run: the begin of gaps with the cause [`crate::ENDED`].
    pub fn set_unrecorded_since(&self, at: WallTime) {
        *lock(&self.rings.unrecorded_since) = Some(at);
    }

    /// Returns since when nothing recorded before this run.
    pub fn unrecorded_since(&self) -> Option<WallTime> {
        *lock(&self.rings.unrecorded_since)
    }

    /// Asks the store to write soon, because much of a ring waits for it. [`Accounts::take_flush_request`] clears the
    /// request.
    pub fn request_flush(&self) {
        self.rings.flush_requested.store(true, Relaxed);
    }

    /// Returns and clears the request that the store write soon.
    pub fn take_flush_request(&self) -> bool {
        self.rings.flush_requested.load(Relaxed) && self.rings.flush_requested.swap(false, Relaxed)
    }

    /// Sets whether the store is unable to write at present.
    pub fn set_store_down(&self, down: bool) {
        self.rings.store_down.store(down, Relaxed);
    }

    /// Returns whether the store is unable to write at present, so that waiting for it is of no use.
    pub fn is_store_down(&self) -> bool {
        self.rings.store_down.load(Relaxed)
    }
}
