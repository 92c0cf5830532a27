//! Where the host's records come from: the kernel, or a test.

use std::io;
use std::os::fd::OwnedFd;

use model::Stretch;
use serde::Serialize;

use crate::loader::AttachError;
use crate::programs::Tracer;

/// The two ways out of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// Processes that start, run a program, move, end. Read first, always: a flood of files can't touch it.
    Lifecycle,
    /// Everything else.
    Data,
}

/// Counters of one kind of record, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Events that passed the kernel's filters.
    pub(crate) seen: u64,
    /// Those of them that found the ring full.
    pub(crate) lost: u64,
}

impl Count {
    /// What was counted after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { seen: self.seen.saturating_sub(before.seen), lost: self.lost.saturating_sub(before.lost) }
    }
}

/// What a tracer got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Hooks it is attached to.
    pub hooks: Vec<String>,
    /// What does not work without a hook that is missing here, and why it is missing.
    pub without: Vec<String>,
}

/// A loaded object, its rings and its links. [`crate::loader::Kernel`] outside of tests.
pub(crate) trait Source: Send {
    /// Reads up to `limit` records of a ring; says how many there were. They stay in it until they are released.
    fn drain(&mut self, ring: Ring, limit: usize, visit: &mut dyn FnMut(Stretch, &[u8])) -> usize;

    /// Gives the kernel back the room of what lies below `upto`, as far as it was read.
    fn release(&mut self, ring: Ring, upto: u64);

    /// Where the next record of a ring will be.
    fn cursor(&self, ring: Ring) -> u64;

    /// The counters in one slot of map `counts`.
    fn count(&mut self, slot: u32) -> io::Result<Count>;

    /// Visits a record for each process that is there already.
    fn processes(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<usize, AttachError>;

    /// Attaches a tracer's programs and lets it emit. Attaching twice changes nothing.
    fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError>;

    /// Stops it emitting and detaches what it alone needs.
    fn detach(&mut self, tracer: &'static Tracer);

    /// Records from now on only what these users do; none: what everybody does.
    fn set_uids(&mut self, uids: &[u32]);

    /// Detaches everything. What is in the rings stays there.
    fn close(&mut self);

    /// What becomes readable when a ring fills up: of [`Ring::Lifecycle`], of [`Ring::Data`].
    fn wakers(&self) -> io::Result<[OwnedFd; 2]>;
}
