//! Carries out the usage ledger's schedule: swaps its buffers and runs the program that flushes one.

use std::io;

use actors::clock;
use model::BootNs;

use super::{Ledger, SWEEP, Step};
use crate::errors::AttachError;
use crate::kernel::{Counters, Hooks, LiveSettings};
use crate::wire::{COUNT_USAGE_FULL, Kind, Sweep};

/// Runs of the flush program per step, each of up to 4,096 entries (`SWEEP_LIMIT` in src/ledger/probe.bpf.c).
const SWEEPS: usize = 4;

impl Ledger {
    /// Starts the schedule once the tracer `usage` is attached, and shuts it down once that is detached.
    pub(crate) fn set_attached(&mut self, kind: Kind, attached: bool, now: BootNs) {
        match (kind, attached) {
            (Kind::Usage, true) => self.begin(now),
            (Kind::Usage, false) => self.end(),
            _ => {}
        }
    }

    /// Returns whether no more records of this kind will come out of the ledger.
    pub(crate) fn is_flushed(&self, kind: Kind) -> bool {
        kind != Kind::Usage || self.is_off()
    }

    /// Takes the next step of the schedule.
    pub(crate) fn tend(
        &mut self,
        hooks: &mut dyn Hooks,
        settings: &mut LiveSettings,
        counters: &dyn Counters,
    ) {
        let now = clock::boot_ns();
        match self.step(now) {
            Step::Nothing => {}
            Step::Swap => {
                settings.change(|settings| settings.usage_side = 1 - settings.usage_side.min(1));
                self.swapped(now);
                self.warn_if_full(counters);
            }
            Step::Flush => self.sweep_all(hooks),
        }
    }

    fn sweep_all(&mut self, hooks: &mut dyn Hooks) {
        for _ in 0..SWEEPS {
            let sweep = sweep_once(hooks).unwrap_or_else(|cause| {
                tracing::error!(%cause, "flushing the usage ledger failed; retrying");
                Sweep { flushed: 0, left: 0, side: 0, pad: 0 }
            });
            self.flushed(sweep, clock::boot_ns());
            // Entries that are left found no room in the ring.
            if sweep.left == 0 || sweep.flushed == 0 {
                return;
            }
        }
    }

    fn warn_if_full(&mut self, counters: &dyn Counters) {
        let full = counters.count(COUNT_USAGE_FULL).map_or(self.reported_full, |count| count.seen);
        if full > self.reported_full {
            let count = full - self.reported_full;
            tracing::warn!(
                count,
                "usage ledger was full, or a user had his share of it: these calls were recorded one by one; raise `ebpf.usage_map`"
            );
            self.reported_full = full;
        }
    }
}

fn sweep_once(hooks: &mut dyn Hooks) -> Result<Sweep, AttachError> {
    let bytes = hooks.iterate(&SWEEP)?;
    Sweep::parse(&bytes).map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })
}
