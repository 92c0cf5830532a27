//! Where the host's records come from: the kernel, or a test.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use model::{BootNs, Point, Stretch, TracerName};
use serde::Serialize;

use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::wire::{self, Kind};

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

impl Ring {
    /// Where records of a kind come through.
    pub(crate) fn of(kind: Kind) -> Self {
        if kind.is_lifecycle() { Self::Lifecycle } else { Self::Data }
    }
}

impl Count {
    /// Over all CPUs.
    pub(crate) fn sum(cpus: &[wire::Count]) -> Self {
        let sum = |pick: fn(&wire::Count) -> u64| cpus.iter().map(pick).sum();
        Self { seen: sum(|cpu| cpu.seen), lost: sum(|cpu| cpu.lost) }
    }

    /// What was counted after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { seen: self.seen.saturating_sub(before.seen), lost: self.lost.saturating_sub(before.lost) }
    }
}

/// Whether a source's rings outlive the agent, and what became of those that were there before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footing {
    /// Their name in the store, if they do.
    pub(crate) pin: Option<String>,
    /// Where they are pinned.
    pub(crate) folder: Option<String>,
    /// They were there already.
    pub(crate) adopted: bool,
    /// Why those that were there could not be gone on with.
    pub(crate) refused: Option<String>,
    /// Why they can't be pinned.
    pub(crate) problem: Option<String>,
    /// What those that were refused had, and nobody will ever store.
    pub(crate) missing: Vec<Missing>,
    /// What tracers' records are stored under, by kind.
    pub(crate) names: BTreeMap<u32, TracerName>,
    /// Of adopted ones: how far each tracer was settled, by kind.
    pub(crate) points: BTreeMap<u32, Point>,
}

/// Records that were seen, and are in no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) kind: u32,
    pub(crate) count: u64,
    pub(crate) since: BootNs,
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

    /// Bytes of a ring.
    fn size(&self, ring: Ring) -> u64;

    /// What it stands on: rings of its own, or such as outlive the agent.
    fn footing(&self) -> Footing;

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
