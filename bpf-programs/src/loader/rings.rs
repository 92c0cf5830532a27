//! The data ring, or several of them read as one, in order of time.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use actors::clock;
use model::Stretch;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::wire::{Header, MAX_DATA_RINGS, RingReader};

/// The maps, in the order of the CPUs that use them.
pub(super) const NAMES: [&str; MAX_DATA_RINGS] =
    ["data", "data_1", "data_2", "data_3", "data_4", "data_5", "data_6", "data_7"];

/// With several rings a record waits this long for older ones of other rings. A record gets its time microseconds
/// before it is in its ring, or later if its writer was interrupted in between.
const WITHIN_NS: u64 = 10_000_000;

/// Where the record at a ring's head stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Not looked at.
    Unknown,
    /// There is none.
    None,
    /// When it was made, since boot.
    At(u64),
}

/// All data rings.
pub(super) struct DataRings {
    rings: Vec<RingReader>,
    heads: Vec<Head>,
    /// Bytes read over all rings: the place of the next record, where there are several.
    read: u64,
}

impl DataRings {
    pub(super) fn new(rings: Vec<RingReader>) -> Self {
        Self { heads: vec![Head::Unknown; rings.len()], rings, read: 0 }
    }

    /// Reads up to `limit` records; says how many there were. Of one ring they come in its order; of several in order
    /// of time, and none before others could be older than it.
    pub(super) fn drain(&mut self, limit: usize, visit: &mut dyn FnMut(Stretch, &[u8])) -> usize {
        self.heads.fill(Head::Unknown);
        let horizon = clock::boot_ns().0.saturating_sub(WITHIN_NS);
        for taken in 0..limit {
            let Some(index) = self.next_ring(horizon) else { return taken };
            let Some((stretch, record)) = self.rings[index].next() else { return taken };
            self.heads[index] = Head::Unknown;
            let (start, length) = (self.read, stretch.end - stretch.start);
            self.read += length;
            let stretch = match self.heads.len() {
                1 => stretch,
                _ => Stretch { start, end: self.read },
            };
            visit(stretch, record);
        }
        limit
    }

    /// The ring whose record is the oldest, if that is old enough or its ring too full to wait.
    fn next_ring(&mut self, horizon: u64) -> Option<usize> {
        if self.rings.len() == 1 {
            return Some(0);
        }
        for (ring, head) in self.rings.iter_mut().zip(&mut self.heads) {
            if *head == Head::Unknown {
                // What is no record goes out at once; the host counts it.
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

    /// Reads no further than the kernel has got now, until the next mark.
    pub(super) fn mark(&mut self) {
        self.rings.iter_mut().for_each(RingReader::mark);
    }

    /// Gives the kernel back what lies below `upto`, as far as it was read. Of several rings all or nothing: nobody
    /// keeps a place in them.
    pub(super) fn release(&mut self, upto: u64) {
        if let [ring] = &mut self.rings[..] {
            return ring.release(upto);
        }
        if upto >= self.read {
            self.rings.iter_mut().for_each(|ring| ring.release(u64::MAX));
        }
    }

    /// Where the next record will be.
    pub(super) fn cursor(&self) -> u64 {
        match &self.rings[..] {
            [ring] => ring.cursor(),
            _ => self.read,
        }
    }

    /// Bytes of all.
    pub(super) fn size(&self) -> u64 {
        self.rings.iter().map(RingReader::size).sum()
    }

    /// What becomes readable when one of them fills up.
    pub(super) fn waker(&self) -> io::Result<OwnedFd> {
        if let [ring] = &self.rings[..] {
            return ring.as_fd().try_clone_to_owned();
        }
        let all = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for ring in &self.rings {
            // By edge: that there is something in a ring is no news, that it was filled up is.
            all.add(ring.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        }
        Ok(all.0)
    }
}
