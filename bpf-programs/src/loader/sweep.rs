//! Has the ledger told.

use std::io::{self, Read as _};

use actors::clock;

use super::{AttachError, Kernel, program};
use crate::host::Source as _;
use crate::ledger::{SWEEP, Step};
use crate::wire::{COUNT_USAGE_FULL, Sweep};

/// Sweeps at a stretch, of up to 4,096 entries each (src/ledger/probe.bpf.c).
const STRETCH: usize = 4;

impl Kernel {
    /// Does what is due; says whether nothing will come out of the ledger any more.
    pub(super) fn tend_ledger(&mut self) -> bool {
        let now = clock::boot_ns();
        match self.ledger.step(now) {
            Step::Rest => {}
            Step::Turn => {
                self.settings.usage_side = 1 - self.settings.usage_side.min(1);
                self.write_settings();
                self.ledger.turned(now);
                self.tell_full();
            }
            Step::Sweep => self.sweep_all(),
        }
        self.ledger.is_off()
    }

    fn sweep_all(&mut self) {
        for _ in 0..STRETCH {
            let sweep = self.sweep_once().unwrap_or_else(|cause| {
                tracing::error!(%cause, "telling the usage ledger failed: it is tried again");
                Sweep { told: 0, left: 0, side: 0, pad: 0 }
            });
            self.ledger.swept(sweep, clock::boot_ns());
            // What is left found no room in the ring.
            if sweep.left == 0 || sweep.told == 0 {
                return;
            }
        }
    }

    fn sweep_once(&mut self) -> Result<Sweep, AttachError> {
        let mut file = program::iterate(self.loaded(&SWEEP)?, &SWEEP)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| AttachError::Iterate { source })?;
        Sweep::parse(&bytes).map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })
    }

    fn tell_full(&mut self) {
        let full = self.count(COUNT_USAGE_FULL).map_or(self.told_full, |count| count.seen);
        if full > self.told_full {
            let count = full - self.told_full;
            tracing::warn!(
                count,
                "usage ledger was full: so many calls were told one by one (`ebpf.usage_map`)"
            );
            self.told_full = full;
        }
    }
}
