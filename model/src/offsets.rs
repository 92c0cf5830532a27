//! How far a tracer's records have been settled, for rings that outlive the agent: which stretches of the ring are
//! in the agent's hands, and up to where every record is stored, filtered or lost for good.
//!
//! A claim on records of such a ring holds a stretch of it. The store writes a [`Checkpoint`] in the same transaction
//! as the rows; what is below its position is released to the kernel, and a successor begins there.

use std::collections::VecDeque;

use crate::{BootNs, Lost, TracerName};

/// Where records lie in a ring: positions count bytes since it was made, and never go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// Of the first record's beginning.
    pub start: u64,
    /// Behind the last record.
    pub end: u64,
}

/// What became of records, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Stored in the store.
    pub stored: u64,
    /// Dropped on purpose.
    pub filtered: u64,
    /// Lost, by place; as the store has it.
    pub lost: Lost,
}

impl Outcomes {
    /// Those that came out of the ring.
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

/// Up to where a tracer's records are settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every record below this position of its ring is settled.
    pub position: u64,
    /// Records that were seen before the ring was made, all of them lost with the ring before it.
    pub base: u64,
    /// What became of all records below, since the ring was made. `lost.ring` is what `loss` rows in the store tell
    /// of, `base` included: the kernel's counter knows the rest.
    pub settled: Outcomes,
    /// Which stretches it covers, to be handed back to [`crate::Account::committed`].
    pub(crate) upto: u64,
}

impl Checkpoint {
    /// Records of the ring that are settled.
    pub fn seen(&self) -> u64 {
        self.settled.out() + self.settled.lost.ring.saturating_sub(self.base)
    }

    /// As read back from a store.
    pub fn new(position: u64, base: u64, settled: Outcomes) -> Self {
        Self { position, base, settled, upto: 0 }
    }
}

/// What a store tells of the rings it got records from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Which store: unlike any other's.
    pub store: String,
    /// The last checkpoints of every ring and tracer.
    pub points: Vec<RingCheckpoint>,
}

/// A checkpoint in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingCheckpoint {
    /// Of which rings, see [`crate::Pinned::pin`].
    pub pin: String,
    /// Of which tracer.
    pub tracer: TracerName,
    /// How far.
    pub checkpoint: Checkpoint,
    /// When it was written.
    pub at: BootNs,
}

/// One tracer's stretches, in ring order.
#[derive(Debug, Default)]
pub(crate) struct OffsetTracker {
    /// The number of the first of `segments`.
    first: u64,
    segments: VecDeque<Segment>,
    /// What is settled and out of `segments`.
    done: Checkpoint,
    /// End of the last stretch that was taken.
    taken_to: u64,
    /// Records in all stretches since the ring was made.
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
    /// On its way.
    Open,
    /// The store writes so many rows of it just now.
    Writing(u64),
    /// All its records are settled.
    Done,
}

impl OffsetTracker {
    pub(crate) fn new(from: Checkpoint) -> Self {
        let taken = from.settled.out();
        Self { done: from, taken_to: from.position, taken, ..Self::default() }
    }

    /// A stretch with so many records; returns its number.
    pub(crate) fn open(&mut self, range: OffsetRange, count: u64) -> u64 {
        self.segments.push_back(Segment { range, settled: Outcomes::default(), state: State::Open });
        self.taken_to = self.taken_to.max(range.end);
        self.taken += count;
        self.first + self.segments.len() as u64 - 1
    }

    /// Notes what became of records of a stretch, and whether that was the last of them.
    pub(crate) fn settle(&mut self, number: u64, more: Outcomes, all: bool) {
        if let Some(segment) = self.segment(number) {
            segment.settled.add(&more);
            if all {
                segment.state = State::Done;
            }
        }
    }

    /// Its rows are in the store's hand.
    pub(crate) fn mark_writing(&mut self, number: u64, rows: u64) {
        if let Some(segment) = self.segment(number) {
            segment.state = State::Writing(rows);
        }
    }

    /// As it will be when what is in hand is stored, and loss rows that tell of `reported` more.
    pub(crate) fn checkpoint(&self, reported: u64) -> Checkpoint {
        let mut point = self.done;
        point.upto = self.first;
        point.settled.lost.ring += reported;
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

    /// A checkpoint is in the store.
    pub(crate) fn committed(&mut self, upto: u64, reported: u64) {
        self.done.settled.lost.ring += reported;
        while self.first < upto && self.pop() {}
    }

    /// Nothing will be stored for now: what is settled is let go of all the same.
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

    /// Where the first stretch begins that must not be released.
    pub(crate) fn held_from(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.range.start)
    }

    /// End of the last stretch, and how many records were taken in all.
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
    fn a_checkpoint_ends_before_the_first_open_stretch() {
        let mut track = OffsetTracker::new(Checkpoint { position: 100, ..Checkpoint::default() });
        let [one, two, three] =
            [0, 1, 2].map(|n| track.open(OffsetRange { start: 100 + n * 50, end: 150 + n * 50 }, 10));
        track.settle(two, Outcomes { filtered: 10, ..Outcomes::default() }, true);
        assert_eq!(track.checkpoint(0).position, 100, "the first is still on its way");
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
    fn ring_losses_are_settled_when_a_row_tells_of_them() {
        let mut track = OffsetTracker::new(Checkpoint::default());
        assert_eq!(track.checkpoint(7).settled.lost.ring, 7);
        assert_eq!(track.checkpoint(0).settled.lost.ring, 0, "not in the store yet");
        track.committed(0, 7);
        assert_eq!(track.checkpoint(2).settled.lost.ring, 9);
        assert_eq!(track.checkpoint(0).settled.out(), 0);
    }
}
