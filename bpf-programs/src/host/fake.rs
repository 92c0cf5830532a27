//! A fake kernel side for tests: rings and counters that a test fills.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use aya::maps::MapError;
use model::{OffsetRange, ProcessTable};

use crate::errors::AttachError;
use crate::kernel::{
    Attached, Counters, FilterRules, Hooks, Kernel, LiveSettings, Misses, PinInfo, Records, SettingsMap,
    Skipped, SkippedMap, UnstoredMap,
};
use crate::ledger::Ledger;
use crate::lowered::Lowered;
use crate::programs::{Program, Tracer};
use crate::wire::{Count, Counts, Kind, LossKey, Ring, Settings, Unstored};

/// State of the fake.
#[derive(Default)]
pub(super) struct State {
    pub(super) rings: [VecDeque<Vec<u8>>; 3],
    pub(super) cursors: [u64; 3],
    pub(super) released: [u64; 3],
    pub(super) pin_info: PinInfo,
    pub(super) counts: BTreeMap<u32, Count>,
    pub(super) unstored: BTreeMap<u32, Unstored>,
    pub(super) skipped: BTreeMap<u32, u64>,
    pub(super) misses: Vec<Misses>,
    pub(super) settings: Settings,
    /// Makes the next poll panic after it has read the rings.
    pub(super) panic: bool,
    pub(super) loads: usize,
    /// Number of times all processes were read.
    pub(super) reads: usize,
    pub(super) wakers: Vec<File>,
}

/// The fake, shared by all its parts and the test.
pub(super) type Fake = Arc<Mutex<State>>;

/// Returns a kernel side whose parts are all this fake.
pub(super) fn kernel(fake: &Fake) -> Kernel {
    let ring = |ring| Box::new(FakeRing(fake.clone(), ring as usize)) as Box<dyn Records>;
    let pin_info = fake.lock().unwrap().pin_info.clone();
    Kernel {
        rings: Ring::ALL.map(ring),
        counters: Box::new(fake.clone()),
        unstored: Box::new(fake.clone()),
        skipped: Skipped::new(fake.clone()),
        settings: LiveSettings::new(fake.clone(), Settings::default()),
        hooks: Box::new(fake.clone()),
        rules: Box::new(fake.clone()),
        splits: Vec::new(),
        ledger: Ledger::new(u64::MAX),
        has_flows: false,
        next_requests: None,
        pin_info,
        lacks: Vec::new(),
        passed_over: None,
    }
}

/// The ring of this number.
struct FakeRing(Fake, usize);

impl Records for FakeRing {
    fn drain(&mut self, limit: usize, visit: &mut dyn FnMut(OffsetRange, &[u8])) -> usize {
        let state = &mut *self.0.lock().unwrap();
        let (records, cursor) = (&mut state.rings[self.1], &mut state.cursors[self.1]);
        let count = records.len().min(limit);
        for record in records.drain(..count) {
            let start = *cursor;
            *cursor += (8 + record.len() as u64).next_multiple_of(8);
            visit(OffsetRange { start, end: *cursor }, &record);
        }
        count
    }

    fn mark(&mut self) {}

    fn is_at_mark(&self) -> bool {
        self.0.lock().unwrap().rings[self.1].is_empty()
    }

    fn release(&mut self, upto: u64) {
        // As a ring does, it never goes back.
        let released = &mut self.0.lock().unwrap().released[self.1];
        *released = upto.max(*released);
    }

    fn cursor(&self) -> u64 {
        self.0.lock().unwrap().cursors[self.1]
    }

    fn released(&self) -> u64 {
        self.0.lock().unwrap().released[self.1]
    }

    fn size(&self) -> u64 {
        1 << 20
    }

    fn waker(&self) -> io::Result<OwnedFd> {
        let (waker, other) = nix::unistd::pipe()?;
        // Kept open, or the waker would always be readable.
        self.0.lock().unwrap().wakers.push(File::from(other));
        Ok(waker)
    }
}

impl Counters for Fake {
    fn counts(&self) -> io::Result<Counts> {
        let panic = std::mem::take(&mut self.lock().unwrap().panic);
        assert!(!panic, "injected: panic while updating accounts");
        let fake = self.lock().unwrap();
        let slot = |slot: usize| fake.counts.get(&(slot as u32)).copied().unwrap_or_default();
        Ok(Counts { slots: std::array::from_fn(slot) })
    }

    fn losses(&self) -> io::Result<Vec<(LossKey, u64)>> {
        Ok(Vec::new())
    }

    fn forget(&mut self, _: &LossKey) {}
}

impl UnstoredMap for Fake {
    fn noted(&self, kind: Kind) -> Unstored {
        self.lock().unwrap().unstored.get(&(kind as u32)).copied().unwrap_or_default()
    }

    fn note(&mut self, kind: Kind, unstored: Unstored) {
        self.lock().unwrap().unstored.insert(kind as u32, unstored);
    }
}

impl SkippedMap for Fake {
    fn entries(&self) -> BTreeMap<u32, u64> {
        self.lock().unwrap().skipped.clone()
    }

    fn set(&mut self, key: u32, count: u64) {
        self.lock().unwrap().skipped.insert(key, count);
    }
}

impl SettingsMap for Fake {
    fn read(&self) -> Result<Settings, MapError> {
        Ok(self.lock().unwrap().settings)
    }

    fn write(&mut self, settings: Settings) -> Result<(), MapError> {
        self.lock().unwrap().settings = settings;
        Ok(())
    }
}

impl Hooks for Fake {
    fn attach(&mut self, _: &'static Tracer) -> Result<Attached, AttachError> {
        Ok(Attached::default())
    }

    fn detach(&mut self, _: &'static Tracer) {}

    fn close(&mut self) {}

    fn unpin(&mut self) {}

    fn misses(&self, _: Option<&Tracer>) -> Vec<Misses> {
        self.lock().unwrap().misses.clone()
    }

    /// Lists no processes.
    fn iterate(&mut self, _: &'static Program) -> Result<Vec<u8>, AttachError> {
        self.lock().unwrap().reads += 1;
        Ok(Vec::new())
    }
}

impl FilterRules for Fake {
    fn put(&mut self, _: &Lowered, _: &ProcessTable, _: &mut Settings) {}

    fn learn(&mut self, _: &ProcessTable) {}

    fn filtered_by(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}
