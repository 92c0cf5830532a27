//! Distributes records as they are read: to their tracers' channels, and to the process table.

use model::{OffsetRange, ProcessTable};

use super::core::HostCounters;
use super::source::{Ring, Source};
use super::tracer_channel::TracerChannel;
use crate::tracers::lifecycle;
use crate::wire::{COUNT_SLOTS, Header};

/// Records of one ring that are read before the room of earlier ones is returned to the kernel.
const STRIDE: usize = 256;

/// The channels of all tracers, by kind, and the process table. Separate from the source, so that a record is handled
/// in place while the source is being read.
pub(super) struct Demux {
    pub(super) channels: Vec<TracerChannel>,
    /// Index into `channels`, by kind.
    pub(super) by_kind: [Option<usize>; COUNT_SLOTS as usize],
    pub(super) table: ProcessTable,
    pub(super) counters: HostCounters,
}

impl Demux {
    /// Passes a record to its tracer's channel and, from the lifecycle ring, to the process table.
    pub(super) fn take(&mut self, ring: Ring, range: OffsetRange, record: &[u8]) {
        let Ok(header) = Header::parse(record) else {
            self.counters.malformed += 1;
            return;
        };
        if header.is_traced() {
            match self.by_kind.get(header.kind as usize).copied().flatten() {
                Some(channel) => self.channels[channel].take(record, header.at(), range),
                None => self.counters.malformed += 1,
            }
        }
        if ring == Ring::Lifecycle {
            self.learn(record);
        }
    }

    /// Returns the position of the first record of a ring that must stay there until the store has committed it.
    pub(super) fn held_from(&self, ring: Ring) -> Option<u64> {
        self.channels.iter().filter_map(|channel| channel.held_from(ring)).min()
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
pub(super) fn read(source: &mut dyn Source, demux: &mut Demux, ring: Ring, limit: usize) -> usize {
    let mut count = 0;
    while count < limit {
        let visit = &mut |range, record: &[u8]| demux.take(ring, range, record);
        let some = source.drain(ring, STRIDE.min(limit - count), visit);
        source.release(ring, demux.held_from(ring).unwrap_or(source.cursor(ring)));
        count += some;
        if some < STRIDE {
            break;
        }
    }
    count
}
