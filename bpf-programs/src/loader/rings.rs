//! Reads a ring, or several data rings as one, merged in order of time.
//!
//! One ring has a single order, and its positions are byte offsets since it was created: a checkpoint can name one. With
//! several rings (one per group of CPUs) a record is taken from the ring whose head is the oldest. A writer stamps a record
//! before it reserves room, so an older record may still appear in another ring; the oldest head is therefore delivered only
//! when it is older than [`WITHIN_NS`], or when a ring is more than half full. Positions of the merged stream count bytes
//! read and mean nothing after a restart, which is why pinning requires one ring.
//!
//! ```text
//!  data    ── 12.1 ─ 12.4 ──┐
//!  data_1  ── 12.2 ─────────┼─▶ 12.1, 12.2, 12.3, 12.4 …   (each at least WITHIN_NS old)
//!  data_2  ── 12.3 ─────────┘
//! ```

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use actors::clock;
use model::OffsetRange;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::kernel::Records;
use crate::wire::{Header, MAX_DATA_RINGS, RingReader};

/// Names of the maps, in the order of the CPUs that use them.
pub(super) const NAMES: [&str; MAX_DATA_RINGS] =
    ["data", "data_1", "data_2", "data_3", "data_4", "data_5", "data_6", "data_7"];

/// With several rings, a record waits this long for older ones in other rings. A record is stamped microseconds before it
/// is in its ring, or longer before if its writer was interrupted in between.
const WITHIN_NS: u64 = 10_000_000;

/// Time of the record at a ring's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Not read yet.
    Unknown,
    /// The ring is empty.
    None,
    /// The record's time, in nanoseconds since boot.
    At(u64),
}

/// The lifecycle ring, or all data rings read as one.
pub(super) struct MergedRings {
    rings: Vec<RingReader>,
    heads: Vec<Head>,
    /// Bytes read over all rings: the position of the next record if there are several.
    read: u64,
}

impl MergedRings {
    pub(super) fn new(rings: Vec<RingReader>) -> Self {
        Self { heads: vec![Head::Unknown; rings.len()], rings, read: 0 }
    }

    /// Returns the ring whose head is the oldest, if that is old enough or a ring is too full to wait.
    fn next_ring(&mut self, horizon: u64) -> Option<usize> {
        if self.rings.len() == 1 {
            return Some(0);
        }
        for (ring, head) in self.rings.iter_mut().zip(&mut self.heads) {
            if *head == Head::Unknown {
                // A malformed record is delivered at once; the host counts it.
                *head = ring.peek().map_or(Head::None, |record| {
                    Head::At(Header::parse(record).map_or(0, |header| header.time_ns))
                });
            }
        }
        let heads = self.heads.iter().enumerate();
        let oldest = heads.filter_map(|(index, head)| match head {
            Head::At(time) => Some((*time, index)),
            _ => None,
        });
        let (time, index) = oldest.min()?;
        let pressed = || self.rings.iter().any(|ring| ring.unread() > ring.size() / 2);
        (time <= horizon || pressed()).then_some(index)
    }
}

impl Records for MergedRings {
    fn drain(&mut self, limit: usize, visit: &mut dyn FnMut(OffsetRange, &[u8])) -> usize {
        self.heads.fill(Head::Unknown);
        let horizon = clock::boot_ns().0.saturating_sub(WITHIN_NS);
        for taken in 0..limit {
            let Some(index) = self.next_ring(horizon) else { return taken };
            let Some((range, record)) = self.rings[index].next() else { return taken };
            self.heads[index] = Head::Unknown;
            let (start, length) = (self.read, range.end - range.start);
            self.read += length;
            let range = match self.heads.len() {
                1 => range,
                _ => OffsetRange { start, end: self.read },
            };
            visit(range, record);
        }
        limit
    }

    fn mark(&mut self) {
        self.rings.iter_mut().for_each(RingReader::mark);
    }

    fn is_at_mark(&self) -> bool {
        self.rings.iter().all(RingReader::is_at_mark)
    }

    /// With several rings, everything that was read is released at once or nothing, because no position in them is kept.
    fn release(&mut self, upto: u64) {
        if let [ring] = &mut self.rings[..] {
            return ring.release(upto);
        }
        if upto >= self.read {
            self.rings.iter_mut().for_each(|ring| ring.release(u64::MAX));
        }
    }

    fn cursor(&self) -> u64 {
        match &self.rings[..] {
            [ring] => ring.cursor(),
            _ => self.read,
        }
    }

    fn released(&self) -> u64 {
        match &self.rings[..] {
            [ring] => ring.released(),
            // Nothing is held in several rings.
            _ => self.read,
        }
    }

    fn size(&self) -> u64 {
        self.rings.iter().map(RingReader::size).sum()
    }

    fn waker(&self) -> io::Result<OwnedFd> {
        if let [ring] = &self.rings[..] {
            return ring.as_fd().try_clone_to_owned();
        }
        let all = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for ring in &self.rings {
            // Edge-triggered: a ring that is merely not empty must not wake the agent, one that was filled up must.
            all.add(ring.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        }
        Ok(all.0)
    }
}
