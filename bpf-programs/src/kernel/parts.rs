//! The parts of the kernel side, by what each owns. The loader implements them for the object's maps and programs, and
//! a fake in tests.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use aya::maps::MapError;
use model::{OffsetRange, ProcessTable};
use serde::Serialize;

use crate::errors::AttachError;
use crate::lowered::Lowered;
use crate::programs::{Program, Tracer};
use crate::wire::{Count, Counts, Kind, LossKey, Settings, Unstored};

/// The hooks a tracer was attached to, and what it can't do without the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Attached {
    /// Tier of the hooks, see [`crate::tier::Tier::number`].
    pub tier: u8,
    /// Names of the hooks.
    pub hooks: Vec<String>,
    /// Functions that are missing for lack of a hook, each with the cause.
    pub without: Vec<String>,
    /// Events the tracer can't see with hooks of this tier.
    pub unseen: Vec<String>,
}

/// The records in one of the rings.
pub(crate) trait Records: Send {
    /// Reads up to `limit` records and returns how many there were. They stay in the ring until released.
    fn drain(&mut self, limit: usize, visit: &mut dyn FnMut(OffsetRange, &[u8])) -> usize;

    /// Moves the read limit (mark) to the current end of the ring.
    fn mark(&mut self);

    /// Returns whether everything below the mark has been read.
    fn is_at_mark(&self) -> bool;

    /// Returns to the kernel the room of records below `upto`, as far as they were read.
    fn release(&mut self, upto: u64);

    /// Returns the position of the next record to read.
    fn cursor(&self) -> u64;

    /// Returns the position up to which room was given back.
    fn released(&self) -> u64;

    /// Returns the size of the ring in bytes.
    fn size(&self) -> u64;

    /// Returns a descriptor that becomes readable when the ring fills up.
    fn waker(&self) -> io::Result<OwnedFd>;
}

/// The counters of events, in maps `counts` and `losses`.
pub(crate) trait Counters: Send {
    /// Reads all counters, summed over all CPUs.
    fn counts(&self) -> io::Result<Counts>;

    /// Reads the counters in one slot, summed over all CPUs.
    fn count(&self, slot: u32) -> io::Result<Count> {
        Ok(self.counts()?.slot(slot))
    }

    /// Reads all entries of map `losses`.
    fn losses(&self) -> io::Result<Vec<(LossKey, u64)>>;

    /// Removes an entry of map `losses`.
    fn forget(&mut self, key: &LossKey);
}

/// The map `settings`, which programs read.
pub(crate) trait SettingsMap: Send {
    /// Reads the settings in force.
    fn read(&self) -> Result<Settings, MapError>;

    /// Replaces the settings.
    fn write(&mut self, settings: Settings) -> Result<(), MapError>;
}

/// The map `unstored`: what was given back to pinned rings before it was in the store.
pub(crate) trait UnstoredMap: Send {
    /// Returns what was noted last for a kind.
    fn noted(&self, kind: Kind) -> Unstored;

    /// Notes what is about to be given back.
    fn note(&mut self, kind: Kind, unstored: Unstored);
}

/// The map `skipped`: runs of programs that the kernel skipped, as far as they were counted.
pub(crate) trait SkippedMap: Send {
    /// Returns all entries.
    fn entries(&self) -> BTreeMap<u32, u64>;

    /// Sets an entry.
    fn set(&mut self, key: u32, count: u64);
}

/// The runs of a program that the kernel skipped, because the program was already running on that CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misses {
    /// Id of the program.
    pub program: u32,
    /// Number of such runs since the program was loaded.
    pub count: u64,
    /// Slots of map `counts` of the records that the program makes.
    pub slots: Vec<u32>,
}

/// The loaded programs and their hooks.
pub(crate) trait Hooks: Send {
    /// Attaches a tracer's programs. Attaching twice changes nothing; after an error the tracer is to be detached.
    fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError>;

    /// Detaches the programs that only this tracer needs.
    fn detach(&mut self, tracer: &'static Tracer);

    /// Detaches everything. Records in the rings stay there.
    fn close(&mut self);

    /// Removes everything that is pinned; what is attached stays attached while the agent runs.
    fn unpin(&mut self);

    /// Returns the attached programs that the kernel has skipped: all, or those of one tracer.
    fn misses(&self, of: Option<&Tracer>) -> Vec<Misses>;

    /// Runs an iterator to its end and returns what it wrote.
    fn iterate(&mut self, program: &'static Program) -> Result<Vec<u8>, AttachError>;
}

/// The maps of the filter rules.
pub(crate) trait FilterRules: Send {
    /// Replaces the rules by which the kernel drops records, and switches to them in `settings`; counts of earlier rules are
    /// kept. Rules may test facts from the table of processes and cgroups.
    fn put(&mut self, rules: &Lowered, table: &ProcessTable, settings: &mut Settings);

    /// Passes new facts of the process table to the kernel, as far as rules test them.
    fn learn(&mut self, table: &ProcessTable);

    /// Returns the records dropped in the kernel since this object was loaded or resumed, by filter.
    fn filtered_by(&self) -> BTreeMap<String, u64>;
}
