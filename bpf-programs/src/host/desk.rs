//! Where records go as they are read: to their tracers' ports, and into the process table.

use model::{ProcessTable, Stretch};

use super::core::Strays;
use super::port::Port;
use super::source::{Ring, Source};
use crate::lifecycle;
use crate::wire::{COUNT_SLOTS, Header};

/// Records of one ring read before the room of those before is given back.
const STRIDE: usize = 256;

/// Where records go: apart from the source, so that they are handled while they are being read.
pub(super) struct Desk {
    pub(super) ports: Vec<Port>,
    /// Index into `ports`, by kind.
    pub(super) by_kind: [Option<usize>; COUNT_SLOTS as usize],
    pub(super) table: ProcessTable,
    pub(super) strays: Strays,
}

impl Desk {
    pub(super) fn take(&mut self, ring: Ring, stretch: Stretch, record: &[u8]) {
        let Ok(header) = Header::parse(record) else {
            self.strays.malformed += 1;
            return;
        };
        if header.is_traced() {
            match self.by_kind.get(header.kind as usize).copied().flatten() {
                Some(port) => self.ports[port].take(record, header.at(), stretch),
                None => self.strays.malformed += 1,
            }
        }
        if ring == Ring::Lifecycle {
            self.learn(record);
        }
    }

    /// Where the first record of a ring begins that must stay in it until the store has it.
    pub(super) fn held_from(&self, ring: Ring) -> Option<u64> {
        self.ports.iter().filter_map(|port| port.held_from(ring)).min()
    }

    /// After the tracer's copy is made: what fails here costs the table a change, but no tracer a record.
    pub(super) fn learn(&mut self, record: &[u8]) {
        if lifecycle::apply(&self.table, record).is_err() {
            self.strays.unreadable += 1;
        }
    }
}

/// Reads up to `limit` records of a ring, giving back room on the way; says how many there were.
pub(super) fn read(source: &mut dyn Source, desk: &mut Desk, ring: Ring, limit: usize) -> usize {
    let mut count = 0;
    while count < limit {
        let visit = &mut |stretch, record: &[u8]| desk.take(ring, stretch, record);
        let some = source.drain(ring, STRIDE.min(limit - count), visit);
        source.release(ring, desk.held_from(ring).unwrap_or(source.cursor(ring)));
        count += some;
        if some < STRIDE {
            break;
        }
    }
    count
}
