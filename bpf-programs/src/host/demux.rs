//! Distributes records as they are read: to their tracers' channels, and to the process table.

use model::{OffsetRange, ProcessTable};

use super::batch::InFlight;
use super::tracer_channel::TracerChannel;
use crate::kernel::{Records, UnstoredMap};
use crate::programs::Tracer;
use crate::tracers::lifecycle;
use crate::wire::{COUNT_SLOTS, Header, Ring, Unstored};

/// Records of one ring that are read before the room of earlier ones is returned to the kernel.
const STRIDE: usize = 256;

/// The store is asked to hurry when more than 1/N of a ring waits for it.
const PRESSED_AT: u64 = 8;
/// Room of records that are not stored is given back when more than 1/N of a ring waits for the store, because new records
/// would soon find none.
const UNSTORED_AT: u64 = 4;

/// Number of bytes that may wait in the queues of all tracers together while further data records are read. A queue is also
/// limited by its number of batches, but there are many tracers, and a user may fill the queues of all of them.
const IN_FLIGHT: usize = 8 << 20;

/// Counters of records that belong to no tracer's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HostCounters {
    /// Records lost because the lifecycle ring was full or a program was skipped; the process table misses their contents.
    pub(super) lifecycle_lost: u64,
    /// Records too short or of an unknown kind.
    pub(super) malformed: u64,
    /// Lifecycle records that could not be read for the process table.
    pub(super) unreadable: u64,
    /// Entries of the usage ledger that had no room for their whole path.
    pub(super) usage_paths_cut: u64,
    /// Number of processes that were debugged or shared their descriptors, and found no room in map `meddled`.
    pub(super) meddled_full: u64,
    /// Bytes of pinned rings that were given back before their records were stored.
    pub(super) given_back: u64,
}

/// The channels of all tracers, by kind, and the process table. Separate from the kernel side, so that a record is
/// handled in place while a ring is being read.
pub(super) struct Demux {
    channels: Vec<Option<TracerChannel>>,
    pub(super) table: ProcessTable,
    pub(super) counters: HostCounters,
    in_flight: InFlight,
    /// The store can't write, so waiting for it is of no use.
    pub(super) store_is_down: bool,
}

impl Demux {
    pub(super) fn new(table: ProcessTable) -> Self {
        let channels = (0..COUNT_SLOTS).map(|_| None).collect();
        Self {
            channels,
            table,
            counters: HostCounters::default(),
            in_flight: InFlight::default(),
            store_is_down: false,
        }
    }

    /// Sets the channel of its tracer.
    pub(super) fn open(&mut self, mut channel: TracerChannel) {
        channel.in_flight = self.in_flight.clone();
        let kind = channel.tracer().kind as usize;
        self.channels[kind] = Some(channel);
    }

    /// Returns whether no more records of a ring are to be read, because a tracer's queue is full or all queues together hold
    /// too much. Then they stay in the ring, and when it fills up, the kernel decides by user whose are lost. Lifecycle
    /// records are read for longer than others, because the process table needs them.
    pub(super) fn is_blocked(&self, ring: Ring) -> bool {
        match ring {
            Ring::Lifecycle => self.channels().any(TracerChannel::is_far_behind),
            Ring::Security | Ring::Data => {
                self.in_flight.bytes() > IN_FLIGHT || self.channels().any(TracerChannel::is_blocked)
            }
        }
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &TracerChannel> {
        self.channels.iter().flatten()
    }

    pub(super) fn channels_mut(&mut self) -> impl Iterator<Item = &mut TracerChannel> {
        self.channels.iter_mut().flatten()
    }

    pub(super) fn channel(&mut self, tracer: &Tracer) -> Option<&mut TracerChannel> {
        self.channels[tracer.kind as usize].as_mut()
    }

    /// Passes a record to its tracer's channel and, from the lifecycle ring, to the process table.
    pub(super) fn take(&mut self, ring: Ring, range: OffsetRange, record: &[u8]) {
        let Ok(header) = Header::parse(record) else {
            self.counters.malformed += 1;
            return;
        };
        if header.is_traced() {
            match self.channels.get_mut(header.kind as usize).and_then(Option::as_mut) {
                Some(channel) => channel.take(record, header.at(), range),
                None => self.counters.malformed += 1,
            }
        }
        if ring == Ring::Lifecycle {
            self.learn(record);
        }
    }

    /// Returns the position of the first record of a ring that must stay there until the store has committed it.
    pub(super) fn held_from(&self, ring: Ring) -> Option<u64> {
        self.channels().filter_map(|channel| channel.held_from(ring)).min()
    }

    /// Applies a record to the process table. This happens after the tracer's copy is made, so a failure here costs the
    /// table a change, but no tracer a record.
    pub(super) fn learn(&mut self, record: &[u8]) {
        if lifecycle::apply(&self.table, record).is_err() {
            self.counters.unreadable += 1;
        }
    }
}

/// Reads up to `limit` records of a ring, returning room to the kernel on the way; returns how many were read.
pub(super) fn read(
    records: &mut dyn Records,
    unstored: &mut dyn UnstoredMap,
    demux: &mut Demux,
    ring: Ring,
    limit: usize,
) -> usize {
    let mut count = 0;
    while count < limit && !demux.is_blocked(ring) {
        let visit = &mut |range, record: &[u8]| demux.take(ring, range, record);
        let some = records.drain(STRIDE.min(limit - count), visit);
        give_back(records, unstored, demux, ring);
        count += some;
        if some < STRIDE {
            break;
        }
    }
    count
}

/// Returns to the kernel the room of records that the store has committed. If too much of the ring waits for the store, or
/// the store is down, returns the room of all records that were read; what that is is noted first, so that a successor of a
/// killed agent can count those that never got into the store. Returns whether the store should hurry.
pub(super) fn give_back(
    records: &mut dyn Records,
    unstored: &mut dyn UnstoredMap,
    demux: &mut Demux,
    ring: Ring,
) -> bool {
    let cursor = records.cursor();
    let upto = demux.held_from(ring).unwrap_or(cursor);
    let held = cursor - upto.max(records.released()).min(cursor);
    // With the store down, records that count as lost are held no longer, and no checkpoint says so either.
    let passes_store = demux.store_is_down && cursor > records.released();
    if held > records.size() / UNSTORED_AT || passes_store {
        for channel in demux.channels().filter(|channel| channel.tracer().kind.ring() == ring) {
            unstored.note(channel.tracer().kind, Unstored { upto: cursor, taken: channel.taken() });
        }
        demux.counters.given_back += held;
        records.release(cursor);
    } else {
        records.release(upto);
    }
    held > records.size() / PRESSED_AT
}
