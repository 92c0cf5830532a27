//! Where the host's records come from: the kernel, or a test.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use model::pushdown::Split;
use model::{BootNs, Point, ProcessTable, Stretch, TracerName};
use serde::Serialize;

use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::rules::Lowered;
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
    /// Events of tracers that are on.
    pub(crate) seen: u64,
    /// Those of them that found the ring full.
    pub(crate) lost: u64,
    /// Those of them that sampling left out while the ring was nearly full.
    pub(crate) sampled: u64,
    /// Those of them that filters dropped in the kernel.
    pub(crate) filtered: u64,
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
        Self {
            seen: sum(|cpu| cpu.seen),
            lost: sum(|cpu| cpu.lost),
            sampled: sum(|cpu| cpu.sampled),
            filtered: sum(|cpu| cpu.filtered),
        }
    }

    /// What was counted after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            seen: self.seen.saturating_sub(before.seen),
            lost: self.lost.saturating_sub(before.lost),
            sampled: self.sampled.saturating_sub(before.sampled),
            filtered: self.filtered.saturating_sub(before.filtered),
        }
    }

    /// Those that never got into the ring.
    pub(crate) fn kept_out(self) -> u64 {
        self.lost + self.sampled
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
    /// Their tier, see [`crate::tier::Tier::number`].
    pub tier: u8,
    /// Hooks it is attached to.
    pub hooks: Vec<String>,
    /// What does not work without a hook that is missing here, and why it is missing.
    pub without: Vec<String>,
    /// What it can't see with such hooks.
    pub unseen: Vec<String>,
}

/// A loaded object, its rings and its links. [`crate::loader::Kernel`] outside of tests.
pub(crate) trait Source: Send {
    /// Reads up to `limit` records of a ring; says how many there were. They stay in it until they are released.
    fn drain(&mut self, ring: Ring, limit: usize, visit: &mut dyn FnMut(Stretch, &[u8])) -> usize;

    /// Where everything below the marks has been read, moves them to how far the rings are filled now, the data ring's
    /// first: whatever lifecycle records come before a data record that is read are read before it.
    fn mark(&mut self);

    /// Everything in the lifecycle ring below its mark has been read.
    fn is_lifecycle_read(&self) -> bool;

    /// Gives the kernel back the room of what lies below `upto`, as far as it was read.
    fn release(&mut self, ring: Ring, upto: u64);

    /// Where the next record of a ring will be.
    fn cursor(&self, ring: Ring) -> u64;

    /// Bytes of a ring.
    fn size(&self, ring: Ring) -> u64;

    /// What the process table lacks for want of hooks, and why.
    fn lacks(&self) -> Vec<String> {
        Vec::new()
    }

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

    /// Does what has to be done now and then; says whether nothing will come of it any more, once it is closed or the
    /// tracer that needs it is detached.
    fn tend(&mut self) -> bool {
        true
    }

    /// Has the kernel side drop what these rules hold for; what it did so for others before stays counted. Rules may ask
    /// what the table knows of processes and cgroups.
    fn set_rules(&mut self, rules: &Lowered, table: &ProcessTable);

    /// Tells the kernel side what the table knows by now, as far as rules ask for it.
    fn learn(&mut self, table: &ProcessTable);

    /// How filters are split by the rules that hold.
    fn splits(&self) -> Vec<Split>;

    /// What was dropped in the kernel since this object was loaded, or taken over, by filter.
    fn filtered_by(&mut self) -> BTreeMap<String, u64>;

    /// Detaches everything. What is in the rings stays there.
    fn close(&mut self);

    /// What becomes readable when a ring fills up: of [`Ring::Lifecycle`], of [`Ring::Data`].
    fn wakers(&self) -> io::Result<[OwnedFd; 2]>;
}
