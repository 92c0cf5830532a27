//! A fake source for tests: two rings and counters that a test fills.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use super::{Attached, Count, PinInfo, Ring, Source};
use model::{OffsetRange, ProcessTable};

use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::rules::Lowered;

/// State of the fake kernel, shared with the test.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) rings: [VecDeque<Vec<u8>>; 2],
    pub(super) cursors: [u64; 2],
    pub(super) released: [u64; 2],
    pub(super) pin_info: PinInfo,
    pub(super) counts: BTreeMap<u32, Count>,
    pub(super) attached: BTreeSet<u32>,
    pub(super) closed: bool,
    pub(super) uids: Vec<u32>,
    pub(super) rules: Lowered,
    pub(super) filtered_by: BTreeMap<String, u64>,
    /// Makes the next poll panic after it has read the rings.
    pub(super) panic: bool,
    pub(super) loads: usize,
    /// Number of times all processes were read.
    pub(super) reads: usize,
    pub(super) wakers: Vec<File>,
}

pub(super) type Kernel = Arc<Mutex<Fake>>;

impl Source for Kernel {
    fn drain(&mut self, ring: Ring, limit: usize, visit: &mut dyn FnMut(OffsetRange, &[u8])) -> usize {
        let mut fake = self.lock().unwrap();
        let fake = &mut *fake;
        let records = &mut fake.rings[ring as usize];
        let count = records.len().min(limit);
        for record in records.drain(..count) {
            let start = fake.cursors[ring as usize];
            let end = start + (8 + record.len() as u64).next_multiple_of(8);
            fake.cursors[ring as usize] = end;
            visit(OffsetRange { start, end }, &record);
        }
        count
    }

    fn release(&mut self, ring: Ring, upto: u64) {
        self.lock().unwrap().released[ring as usize] = upto;
    }

    fn mark(&mut self) {}

    fn is_lifecycle_read(&self) -> bool {
        self.lock().unwrap().rings[Ring::Lifecycle as usize].is_empty()
    }

    fn cursor(&self, ring: Ring) -> u64 {
        self.lock().unwrap().cursors[ring as usize]
    }

    fn size(&self, _: Ring) -> u64 {
        1 << 20
    }

    fn pin_info(&self) -> PinInfo {
        self.lock().unwrap().pin_info.clone()
    }

    fn count(&mut self, slot: u32) -> io::Result<Count> {
        let panic = std::mem::take(&mut self.lock().unwrap().panic);
        assert!(!panic, "injected: panic while updating accounts");
        Ok(self.lock().unwrap().counts.get(&slot).copied().unwrap_or_default())
    }

    fn processes(&mut self, _: &mut dyn FnMut(&[u8])) -> Result<usize, AttachError> {
        self.lock().unwrap().reads += 1;
        Ok(0)
    }

    fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError> {
        self.lock().unwrap().attached.insert(tracer.kind as u32);
        Ok(Attached::default())
    }

    fn detach(&mut self, tracer: &'static Tracer) {
        self.lock().unwrap().attached.remove(&(tracer.kind as u32));
    }

    fn set_uids(&mut self, uids: &[u32]) {
        self.lock().unwrap().uids = uids.to_vec();
    }

    fn set_rules(&mut self, rules: &Lowered, _: &ProcessTable) {
        self.lock().unwrap().rules = rules.clone();
    }

    fn learn(&mut self, _: &ProcessTable) {}

    fn splits(&self) -> Vec<model::pushdown::Split> {
        self.lock().unwrap().rules.splits.clone()
    }

    fn filtered_by(&mut self) -> BTreeMap<String, u64> {
        self.lock().unwrap().filtered_by.clone()
    }

    fn close(&mut self) {
        self.lock().unwrap().closed = true;
    }

    fn wakers(&self) -> io::Result<[OwnedFd; 2]> {
        let ((lifecycle, one), (data, two)) = (nix::unistd::pipe()?, nix::unistd::pipe()?);
        // Kept open, or the other ends would always be readable.
        self.lock().unwrap().wakers.extend([File::from(one), File::from(two)]);
        Ok([lifecycle, data])
    }
}
