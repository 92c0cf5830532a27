//! Carries out the usage ledger's schedule: swaps its buffers and runs the program that flushes one.

use std::io;

use actors::clock;
use model::BootNs;

use super::{Ledger, Phase, SWEEP, Step};
use crate::errors::AttachError;
use crate::kernel::{Counters, Hooks, LiveSettings};
use crate::programs::Program;
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
            let sweep = sweep_once(hooks, &SWEEP).unwrap_or_else(|cause| {
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

    /// Empties both buffers at once and shuts down the schedule; with `last_sweep` in the settings nothing stays.
    pub(crate) fn sweep_last(&mut self, hooks: &mut dyn Hooks, settings: &mut LiveSettings) {
        if self.is_off() {
            return;
        }
        for side in [0, 1] {
            settings.change(|settings| settings.usage_side = side);
            while sweep_once(hooks, &SWEEP).is_ok_and(|sweep| sweep.left > 0 && sweep.flushed > 0) {}
        }
        self.phase = Phase::Off;
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

/// Runs a program that makes sums into records.
///
/// # Errors
/// Fails if the program can't be run, or its result is too short.
pub(crate) fn sweep_once(hooks: &mut dyn Hooks, program: &'static Program) -> Result<Sweep, AttachError> {
    let bytes = hooks.iterate(program)?;
    Sweep::parse(&bytes).map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })
}
