//! The trait through which the host reads records: implemented by the loaded object, and by a fake in tests.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use model::pushdown::Split;
use model::{BootNs, OffsetRange, ProcessTable, RingCheckpoint, TracerName};
use serde::Serialize;

use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::rules::Lowered;
use crate::wire::{self, Kind};

/// The two kinds of ring buffers through which records leave the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// Records of processes that start, execute a program, move or exit. Always read first, and never filled up by floods
    /// of file events.
    Lifecycle,
    /// All other records.
    Data,
}

/// The kernel's counters of one kind of record, summed over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Events while the tracer was enabled.
    pub(crate) seen: u64,
    /// Seen events that found the ring full.
    pub(crate) lost: u64,
    /// Seen events that sampling left out while the ring was nearly full.
    pub(crate) sampled: u64,
    /// Seen events that filters dropped in the kernel.
    pub(crate) filtered: u64,
}

impl Ring {
    /// Returns the ring that carries records of a kind.
    pub(crate) fn of(kind: Kind) -> Self {
        if kind.is_lifecycle() { Self::Lifecycle } else { Self::Data }
    }
}

impl Count {
    /// Sums the counters of all CPUs.
    pub(crate) fn sum(cpus: &[wire::Count]) -> Self {
        let sum = |pick: fn(&wire::Count) -> u64| cpus.iter().map(pick).sum();
        Self {
            seen: sum(|cpu| cpu.seen),
            lost: sum(|cpu| cpu.lost),
            sampled: sum(|cpu| cpu.sampled),
            filtered: sum(|cpu| cpu.filtered),
        }
    }

    /// Returns the counts since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            seen: self.seen.saturating_sub(before.seen),
            lost: self.lost.saturating_sub(before.lost),
            sampled: self.sampled.saturating_sub(before.sampled),
            filtered: self.filtered.saturating_sub(before.filtered),
        }
    }

    /// Returns the records that never got into the ring.
    pub(crate) fn kept_out(self) -> u64 {
        self.lost + self.sampled
    }
}

/// Pinning of a source's rings: whether they outlive the agent, and what happened to rings found at the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct PinInfo {
    /// Name of the pin in the store; `None` if the rings are not pinned.
    pub(crate) pin: Option<String>,
    /// Directory that holds the pins.
    pub(crate) folder: Option<String>,
    /// True if the rings existed already and were resumed.
    pub(crate) adopted: bool,
    /// Reason why existing rings could not be resumed.
    pub(crate) refused: Option<String>,
    /// Reason why the rings can't be pinned.
    pub(crate) problem: Option<String>,
    /// Records of refused rings, which no one will store.
    pub(crate) missing: Vec<Missing>,
    /// Names under which tracers' records are stored, by kind.
    pub(crate) names: BTreeMap<u32, TracerName>,
    /// Last checkpoint of each tracer, by kind; only for adopted rings.
    pub(crate) points: BTreeMap<u32, RingCheckpoint>,
}

/// Records that the kernel counted and that are in no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) kind: u32,
    pub(crate) count: u64,
    pub(crate) since: BootNs,
}

/// The hooks a tracer was attached to, and what it can't do without the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Tier of the hooks, see [`crate::tier::Tier::number`].
    pub tier: u8,
    /// Names of the hooks.
    pub hooks: Vec<String>,
    /// Functions that are missing for lack of a hook, each with the cause.
    pub without: Vec<String>,
    /// Events the tracer can't see with hooks of this tier.
    pub unseen: Vec<String>,
}

/// A loaded object, its rings and its links: [`crate::loader::Kernel`], except in tests.
pub(crate) trait Source: Send {
    /// Reads up to `limit` records of a ring and returns how many there were. They stay in the ring until released.
    fn drain(&mut self, ring: Ring, limit: usize, visit: &mut dyn FnMut(OffsetRange, &[u8])) -> usize;

    /// Moves the read limits (marks) to the current ends of the rings, if everything below the old ones has been read.
    /// The data ring's mark is taken first, so that every lifecycle record written before a data record is also read
    /// before it.
    fn mark(&mut self);

    /// Returns whether everything below the lifecycle ring's mark has been read.
    fn is_lifecycle_read(&self) -> bool;

    /// Returns to the kernel the room of records below `upto`, as far as they were read.
    fn release(&mut self, ring: Ring, upto: u64);

    /// Returns the position of the next record to read from a ring.
    fn cursor(&self, ring: Ring) -> u64;

    /// Returns the size of a ring in bytes.
    fn size(&self, ring: Ring) -> u64;

    /// Returns the parts of the process table that are missing for lack of a hook, each with the cause.
    fn lacks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns whether the rings are pinned, and what happened to rings found at the start.
    fn pin_info(&self) -> PinInfo;

    /// Reads the counters in one slot of map `counts`.
    fn count(&mut self, slot: u32) -> io::Result<Count>;

    /// Visits a record for each existing process; returns their number.
    fn processes(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<usize, AttachError>;

    /// Attaches a tracer's programs and enables it. Attaching twice changes nothing.
    fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError>;

    /// Disables a tracer and detaches the programs that only it needs.
    fn detach(&mut self, tracer: &'static Tracer);

    /// Restricts recording to these users; an empty list records every user.
    fn set_uids(&mut self, uids: &[u32]);

    /// Does periodic work (swapping and flushing the usage ledger). Returns true if no more records will come of it,
    /// because the source is closed or the tracer that needs it is detached.
    fn tend(&mut self) -> bool {
        true
    }

    /// Replaces the rules by which the kernel drops records; counts of earlier rules are kept. Rules may test facts from
    /// the table of processes and cgroups.
    fn set_rules(&mut self, rules: &Lowered, table: &ProcessTable);

    /// Passes new facts of the process table to the kernel, as far as rules test them.
    fn learn(&mut self, table: &ProcessTable);

    /// Returns how the rules in force split each filter between kernel and collector.
    fn splits(&self) -> Vec<Split>;

    /// Returns the records dropped in the kernel since this object was loaded or resumed, by filter.
    fn filtered_by(&mut self) -> BTreeMap<String, u64>;

    /// Detaches everything. Records in the rings stay there.
    fn close(&mut self);

    /// Returns descriptors that become readable when a ring fills up: of [`Ring::Lifecycle`], then of [`Ring::Data`].
    fn wakers(&self) -> io::Result<[OwnedFd; 2]>;
}
