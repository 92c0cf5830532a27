//! Carries out the usage ledger's schedule: swaps its buffers and runs the program that flushes one.

use std::io::{self, Read as _};

use actors::clock;

use super::{AttachError, Kernel, program};
use crate::host::Source as _;
use crate::ledger::{SWEEP, Step};
use crate::wire::{COUNT_USAGE_FULL, Sweep};

/// Runs of the flush program per step, each of up to 4,096 entries (`SWEEP_LIMIT` in src/ledger/probe.bpf.c).
const SWEEPS: usize = 4;

impl Kernel {
    /// Takes the next step of the ledger's schedule; returns true if no more records will come out of the ledger.
    pub(super) fn tend_ledger(&mut self) -> bool {
        let now = clock::boot_ns();
        match self.ledger.step(now) {
            Step::Nothing => {}
            Step::Swap => {
                self.settings.usage_side = 1 - self.settings.usage_side.min(1);
                self.write_settings();
                self.ledger.swapped(now);
                self.warn_if_full();
            }
            Step::Flush => self.sweep_all(),
        }
        self.ledger.is_off()
    }

    fn sweep_all(&mut self) {
        for _ in 0..SWEEPS {
            let sweep = self.sweep_once().unwrap_or_else(|cause| {
                tracing::error!(%cause, "flushing the usage ledger failed; retrying");
                Sweep { flushed: 0, left: 0, side: 0, pad: 0 }
            });
            self.ledger.flushed(sweep, clock::boot_ns());
            // Entries that are left found no room in the ring.
            if sweep.left == 0 || sweep.flushed == 0 {
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

    fn warn_if_full(&mut self) {
        let full = self.count(COUNT_USAGE_FULL).map_or(self.reported_full, |count| count.seen);
        if full > self.reported_full {
            let count = full - self.reported_full;
            tracing::warn!(
                count,
                "usage ledger was full: these calls were recorded one by one; raise `ebpf.usage_map`"
            );
            self.reported_full = full;
        }
    }
}
