//! Objects that tests share, because loading one takes seconds, in a VM half a minute.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

use bpf_programs::testing::{Kind, wait_for_programs};
use bpf_programs::tracers;
use model::lock::lock;

use super::{DATA_RING, ENTRIES, Kernel, tier};

/// Kinds that fill rings and ledger, and one beside them.
const FEW: [Kind; 3] = [Kind::Open, Kind::Rename, Kind::Usage];

/// Size in bytes of a data ring that is soon full.
const SMALL_RING: u32 = 64 << 10;

static KERNEL: Mutex<Option<Kernel>> = Mutex::new(None);
/// The object with a data ring of [`SMALL_RING`].
static SMALL: Mutex<Option<Kernel>> = Mutex::new(None);

/// The shared object, locked for one test.
pub struct Shared(MutexGuard<'static, Option<Kernel>>);

impl Deref for Shared {
    type Target = Kernel;

    fn deref(&self) -> &Kernel {
        self.0.as_ref().expect("loaded at the start")
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut Kernel {
        self.0.as_mut().expect("loaded at the start")
    }
}

impl Kernel {
    /// Returns the object that all tests share, with all tracers enabled and nothing left from the previous
    /// test.
    pub fn start() -> anyhow::Result<Shared> {
        *lock(&SMALL) = None;
        Self::shared(&KERNEL, || Self::start_on(tier(), DATA_RING, ENTRIES, |_| true))
    }

    /// Returns an object with a data ring that is soon full, and the tracers of [`FEW`]; for tests that follow
    /// each other, because the next [`Self::start`] drops it.
    pub fn small() -> anyhow::Result<Shared> {
        Self::shared(&SMALL, || Self::start_few(SMALL_RING, ENTRIES))
    }

    /// Loads only the tracers of [`FEW`], with `data_ring` bytes of the data ring and `entries` in each buffer
    /// of the ledger.
    pub fn start_few(data_ring: u32, entries: u32) -> anyhow::Result<Self> {
        Self::start_on(tier(), data_ring, entries, |kind| FEW.contains(&kind))
    }

    fn shared(
        which: &'static Mutex<Option<Self>>,
        make: impl FnOnce() -> anyhow::Result<Self>,
    ) -> anyhow::Result<Shared> {
        let mut shared = Shared(lock(which));
        if shared.0.is_none() {
            *shared.0 = Some(make()?);
        }
        shared.reset()?;
        Ok(shared)
    }

    fn reset(&mut self) -> anyhow::Result<()> {
        self.set(|_| {})?;
        // Both buffers of the ledger, and entries that did not fit into the ring at once.
        for _ in 0..2 {
            let mut sweep = self.sweep()?;
            while sweep.left != 0 {
                self.drain();
                sweep = self.flush()?;
            }
        }
        // Flows of closed sockets, which would otherwise end during a later test.
        self.object.forget_flows();
        // Counters are compared from here on.
        self.set(|settings| settings.enabled = 0)?;
        wait_for_programs()?;
        self.drain();
        self.drain_second();
        self.records.clear();
        self.before.clear();
        for tracer in tracers() {
            let count = self.counted(tracer.kind)?;
            self.before.insert(tracer.kind, count);
        }
        self.set(|_| {})
    }
}
