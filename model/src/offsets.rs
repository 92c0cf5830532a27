//! Offsets in rings that outlive the agent: which ranges of a ring are being processed, and up to which position every
//! record is settled (stored, filtered or lost).
//!
//! A claim on records of such a ring holds an [`OffsetRange`] of it. Ranges are opened in ring order and settled in any
//! order. A [`Checkpoint`] ends before the first range that is still open; ranges whose rows the store is writing count
//! as settled, because the store writes the checkpoint in the same transaction as the rows. After the commit the ranges
//! below the checkpoint's position are released to the kernel, and a later run continues reading there.
//!
//! ```text
//!          released        committed, next to release        open
//!   ring ──────────────┬────────┬─────────┬─────────┬─────────┬────────▶ offset
//!                      │ done   │ writing │ done    │ open    │ not read
//!                      ▲                            ▲         ▲
//!                  held_from                position of the   taken
//!                                           next checkpoint
//! ```

use std::collections::VecDeque;

use crate::{BootNs, Lost, TracerName, WallTime};

/// A range of a ring. Offsets count bytes since the ring was made and only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// Offset of the first record's first byte.
    pub start: u64,
    /// Offset behind the last record.
    pub end: u64,
}

/// Counts of records by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Records stored in the store.
    pub stored: u64,
    /// Records dropped by filters.
    pub filtered: u64,
    /// Records lost, by point, as the store counts them.
    pub lost: Lost,
}

impl Outcomes {
    /// Returns the number of records that came out of the ring.
    pub fn out(&self) -> u64 {
        self.stored + self.filtered + self.lost.decode + self.lost.queue + self.lost.sink
    }

    fn add(&mut self, other: &Self) {
        self.stored += other.stored;
        self.filtered += other.filtered;
        self.lost.ring += other.lost.ring;
        self.lost.decode += other.lost.decode;
        self.lost.queue += other.lost.queue;
        self.lost.sink += other.lost.sink;
    }
}

/// The position up to which a tracer's records are settled, with their outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every record below this position of its ring is settled.
    pub position: u64,
    /// Records that were seen before the ring was made; all of them were lost with the previous ring.
    pub base: u64,
    /// Outcomes of all records below the position, since the ring was made. `lost.ring` is the number that `loss` rows
    /// in the store report, `base` included; the kernel's counter has those not yet reported.
    pub settled: Outcomes,
    /// Number of the first range it does not cover, to be passed to [`crate::Account::committed`].
    pub(crate) upto: u64,
}

impl Checkpoint {
    /// Returns the number of records of the ring that are settled.
    pub fn seen(&self) -> u64 {
        self.settled.out() + self.settled.lost.ring.saturating_sub(self.base)
    }

    /// Moves the position to `upto`, below which `taken` records were read and will not be read again. Those that are not
    /// settled count as lost in a queue; returns their number.
    pub fn skip(&mut self, upto: u64, taken: u64) -> u64 {
        let unsettled = taken.saturating_sub(self.settled.out());
        if unsettled > 0 {
            self.position = self.position.max(upto);
            self.settled.lost.queue += unsettled;
        }
        unsettled
    }

    /// Creates a checkpoint from values read from a store.
    pub fn new(position: u64, base: u64, settled: Outcomes) -> Self {
        Self { position, base, settled, upto: 0 }
    }
}

/// Checkpoints read from a store, for all rings it got records from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Identity of the store, different for each store.
    pub store: String,
    /// The last checkpoint of each ring and tracer.
    pub points: Vec<RingCheckpoint>,
    /// The run before this one, if it did not end in an orderly way.
    pub killed: Option<KilledRun>,
}

/// A run that did not end in an orderly way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KilledRun {
    /// Collector id under which its rows are stored.
    pub collector_id: String,
    /// When it wrote to the store for the last time.
    pub written: WallTime,
    /// Tracers it had records of.
    pub tracers: Vec<TracerName>,
}

/// A stored checkpoint, with the ring and the tracer it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingCheckpoint {
    /// Identity of the set of rings, see [`crate::Pinned::pin`].
    pub pin: String,
    /// Tracer whose ring it is.
    pub tracer: TracerName,
    /// The ring's last settled position, with outcomes.
    pub checkpoint: Checkpoint,
    /// When the checkpoint was written.
    pub at: BootNs,
}

/// Keeps a tracer's claimed ranges, in ring order.
#[derive(Debug, Default)]
pub(crate) struct OffsetTracker {
    /// Number of the first element of `segments`.
    first: u64,
    segments: VecDeque<Segment>,
    /// Settled state below the first of `segments`.
    done: Checkpoint,
    /// End of the last range that was claimed.
    taken_to: u64,
    /// Records in all ranges since the ring was made.
    taken: u64,
}

#[derive(Debug)]
struct Segment {
    range: OffsetRange,
    settled: Outcomes,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not all of its records are settled.
    Open,
    /// The store is writing this number of its rows.
    Writing(u64),
    /// All of its records are settled.
    Done,
}

impl OffsetTracker {
    pub(crate) fn new(from: Checkpoint) -> Self {
        let taken = from.settled.out();
        Self { done: from, taken_to: from.position, taken, ..Self::default() }
    }

    /// Opens a range with `count` records; returns its number.
    pub(crate) fn open(&mut self, range: OffsetRange, count: u64) -> u64 {
        self.segments.push_back(Segment { range, settled: Outcomes::default(), state: State::Open });
        self.taken_to = self.taken_to.max(range.end);
        self.taken += count;
        self.first + self.segments.len() as u64 - 1
    }

    /// Adds the outcomes of records of a range; `all` if no records of it are left.
    pub(crate) fn settle(&mut self, number: u64, more: Outcomes, all: bool) {
        if let Some(segment) = self.segment(number) {
            segment.settled.add(&more);
            if all {
                segment.state = State::Done;
            }
        }
    }

    /// Marks `rows` remaining rows of a range as being written by the store.
    pub(crate) fn mark_writing(&mut self, number: u64, rows: u64) {
        if let Some(segment) = self.segment(number) {
            segment.state = State::Writing(rows);
        }
    }

    /// Returns the checkpoint to store together with the rows being written and with `loss` rows that report
    /// `ring_losses` more records.
    pub(crate) fn checkpoint(&self, ring_losses: u64) -> Checkpoint {
        let mut point = self.done;
        point.upto = self.first;
        point.settled.lost.ring += ring_losses;
        for segment in &self.segments {
            match segment.state {
                State::Open => break,
                State::Writing(rows) => point.settled.stored += rows,
                State::Done => {}
            }
            point.settled.add(&segment.settled);
            point.position = point.position.max(segment.range.end);
            point.upto += 1;
        }
        point
    }

    /// Counts stored rows as lost in the store, because its file was removed; the oldest first.
    pub(crate) fn unstore(&mut self, rows: u64) {
        let mut left = rows;
        let segments = self.segments.iter_mut().map(|segment| &mut segment.settled);
        for settled in std::iter::once(&mut self.done.settled).chain(segments) {
            let moved = left.min(settled.stored);
            settled.stored -= moved;
            settled.lost.sink += moved;
            left -= moved;
        }
    }

    /// Releases the ranges below a checkpoint that the store has committed.
    pub(crate) fn committed(&mut self, upto: u64, ring_losses: u64) {
        self.done.settled.lost.ring += ring_losses;
        while self.first < upto && self.pop() {}
    }

    /// Releases the settled ranges at the front without a checkpoint.
    pub(crate) fn release_settled(&mut self) {
        while self.segments.front().is_some_and(|segment| segment.state == State::Done) && self.pop() {}
    }

    fn pop(&mut self) -> bool {
        let Some(segment) = self.segments.pop_front() else { return false };
        self.first += 1;
        self.done.settled.add(&segment.settled);
        self.done.position = self.done.position.max(segment.range.end);
        true
    }

    /// Returns the start of the first range that must not be released.
    pub(crate) fn held_from(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.range.start)
    }

    /// Returns the end of the last range, and how many records were claimed in all.
    pub(crate) fn taken(&self) -> (u64, u64) {
        (self.taken_to, self.taken)
    }

    fn segment(&mut self, number: u64) -> Option<&mut Segment> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.segments.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(stored: u64) -> Outcomes {
        Outcomes { stored, ..Outcomes::default() }
    }

    #[test]
    fn a_checkpoint_ends_before_the_first_open_range() {
        let mut track = OffsetTracker::new(Checkpoint { position: 100, ..Checkpoint::default() });
        let [one, two, three] =
            [0, 1, 2].map(|n| track.open(OffsetRange { start: 100 + n * 50, end: 150 + n * 50 }, 10));
        track.settle(two, Outcomes { filtered: 10, ..Outcomes::default() }, true);
        assert_eq!(track.checkpoint(0).position, 100, "the first is still open");
        track.mark_writing(one, 10);
        let point = track.checkpoint(0);
        assert_eq!((point.position, point.settled.stored, point.settled.filtered), (200, 10, 10));
        assert_eq!(track.held_from(), Some(100), "not stored yet");
        track.settle(one, stored(10), true);
        track.committed(point.upto, 0);
        assert_eq!(track.held_from(), Some(200));
        track.settle(three, stored(4), false);
        track.settle(
            three,
            Outcomes { lost: Lost { decode: 6, ..Lost::default() }, ..Outcomes::default() },
            true,
        );
        track.release_settled();
        assert_eq!((track.held_from(), track.checkpoint(0).position), (None, 250));
        assert_eq!(track.checkpoint(0).settled.out(), 30);
        assert_eq!(track.taken(), (250, 30));
    }

    #[test]
    fn ring_losses_are_settled_when_a_row_reports_them() {
        let mut track = OffsetTracker::new(Checkpoint::default());
        assert_eq!(track.checkpoint(7).settled.lost.ring, 7);
        assert_eq!(track.checkpoint(0).settled.lost.ring, 0, "not in the store yet");
        track.committed(0, 7);
        assert_eq!(track.checkpoint(2).settled.lost.ring, 9);
        assert_eq!(track.checkpoint(0).settled.out(), 0);
    }
}
