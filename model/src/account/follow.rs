//! Books of a tracer whose ring outlives the agent: how far it is settled, see [`crate::track`].

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::{Account, Accounts, lock};
use crate::LossPoint;
use crate::offsets::{Checkpoint, OffsetTracker, Outcomes};

impl Account {
    /// From now on it is kept in mind how far this tracer's ring is settled, beginning with what a predecessor left:
    /// its books go on in these.
    pub fn follow(&self, from: Checkpoint) {
        let Outcomes { stored, filtered, lost } = from.settled;
        // First, so that a reader never finds more settled than seen.
        self.seen.fetch_max(from.settled.out() + lost.ring.max(from.base), Relaxed);
        self.filtered.fetch_add(filtered, Relaxed);
        for (point, count) in
            [(LossPoint::Ring, lost.ring), (LossPoint::Decode, lost.decode), (LossPoint::Queue, lost.queue)]
        {
            self.lost[point as usize].fetch_add(count, Relaxed);
        }
        // Whoever joins later has no part in them.
        self.routed.fetch_add(stored + lost.sink, Relaxed);
        for (index, sink) in self.sinks().iter().enumerate() {
            // What other sinks than the store had got is not known: it is taken to be the same.
            let (stored, lost) = if index == 0 { (stored, lost.sink) } else { (stored + lost.sink, 0) };
            sink.stored.fetch_add(stored, Relaxed);
            sink.lost_sink.fetch_add(lost, Relaxed);
        }
        *lock(&self.track) = Some(OffsetTracker::new(from));
    }

    /// Where to go on reading its ring (the end of the last stretch that was taken), and how many records were taken
    /// out of it so far; `None` if it is not followed.
    pub fn taken(&self) -> Option<(u64, u64)> {
        lock(&self.track).as_ref().map(OffsetTracker::taken)
    }

    /// Where its first stretch begins that must stay in the ring.
    pub fn held_from(&self) -> Option<u64> {
        lock(&self.track).as_ref().and_then(OffsetTracker::held_from)
    }

    /// How far it will be settled when the rows promised with [`SinkClaim::mark_writing`] are stored, and `loss` rows that
    /// tell of `told` more records lost in the ring.
    pub fn checkpoint(&self, told: u64) -> Option<Checkpoint> {
        lock(&self.track).as_ref().map(|track| track.checkpoint(told))
    }

    /// The store has kept this checkpoint: what is below it may be released.
    pub fn committed(&self, point: &Checkpoint, told: u64) {
        self.with_track(|track| track.committed(point.upto, told));
    }

    /// The store can't keep anything for now: what is settled may be released all the same, so that the ring does not
    /// fill up for its sake.
    pub fn release_settled(&self) {
        self.with_track(OffsetTracker::release_settled);
    }

    pub(super) fn with_track(&self, change: impl FnOnce(&mut OffsetTracker)) {
        if let Some(track) = lock(&self.track).as_mut() {
            change(track);
        }
    }

    /// For claims: what became of records of a stretch, if they are of one.
    pub(super) fn settle(&self, segment: Option<u64>, more: Outcomes, all: bool) {
        if let Some(number) = segment {
            self.with_track(|track| track.settle(number, more, all));
        }
    }
}

/// The rings that outlive the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Unlike any other's.
    pub pin: String,
    /// They were there when this run began.
    pub adopted: bool,
}

/// What all accounts of a run share about them.
#[derive(Debug, Default)]
pub(super) struct Line {
    pinned: Mutex<Option<Pinned>>,
    flush_requested: AtomicBool,
    store_down: AtomicBool,
}

impl Accounts {
    /// The rings are these: checkpoints are theirs from now on.
    pub fn set_pinned(&self, pinned: Pinned) {
        *lock(&self.line.pinned) = Some(pinned);
    }

    /// The rings that outlive the agent, if there are such.
    pub fn pinned(&self) -> Option<Pinned> {
        lock(&self.line.pinned).clone()
    }

    /// Much of a ring waits for the store: it should write soon. Taken back by [`Accounts::take_flush_request`].
    pub fn request_flush(&self) {
        self.line.flush_requested.store(true, Relaxed);
    }

    /// Whether the store should write soon; asked, it is no longer said.
    pub fn take_flush_request(&self) -> bool {
        self.line.flush_requested.load(Relaxed) && self.line.flush_requested.swap(false, Relaxed)
    }

    /// The store can't keep anything at present, or can again.
    pub fn set_store_down(&self, down: bool) {
        self.line.store_down.store(down, Relaxed);
    }

    /// Whether waiting for the store is of no use at present.
    pub fn is_store_down(&self) -> bool {
        self.line.store_down.load(Relaxed)
    }
}

/// Shared by all clones.
pub(super) type SharedLine = Arc<Line>;
