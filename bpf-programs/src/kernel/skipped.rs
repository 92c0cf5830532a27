//! Counts runs of programs that the kernel skipped.
//!
//! A program at a tracepoint or a function is not run if it is already running on that CPU: an interrupt came, or another
//! task took the CPU. The kernel counts these runs for each program. Each of them may be an event that was not recorded, so
//! the agent adds it to the event's slot, as seen and as lost. These counts are upper bounds: several programs may work for
//! one record, and a program that is attached for several tracers counts for all of them, as the kernel does not say which
//! event it was.

use std::collections::BTreeMap;

use actors::clock;
use model::BootNs;

use super::parts::{Misses, SkippedMap};
use crate::wire::{Count, LossCause, SKIPPED_OF};

/// Time between two reads of the kernel's counts, each of which opens a file for each program.
const INTERVAL_NS: u64 = 5_000_000_000;

/// The skipped runs that have been counted: by program, and their sums by slot of map `counts`. An agent that resumes pinned
/// maps continues from there.
pub(crate) struct Skipped {
    map: Box<dyn SkippedMap>,
    known: BTreeMap<u32, u64>,
    /// Until then tracers resume, and what was skipped before concerns them all.
    begins: BootNs,
    next: BootNs,
}

impl Skipped {
    /// Continues from what the map has.
    pub(crate) fn new(map: impl SkippedMap + 'static) -> Self {
        let begins = BootNs(clock::boot_ns().0 + INTERVAL_NS);
        Self { known: map.entries(), map: Box::new(map), begins, next: begins }
    }

    /// Returns whether what was skipped so far concerns only the tracers that are attached.
    pub(super) fn has_begun(&self, now: BootNs) -> bool {
        self.begins <= now
    }

    /// Returns whether the kernel's counts are to be read again; then the next time is one interval later.
    pub(super) fn is_due(&mut self, now: BootNs) -> bool {
        let is_due = self.next <= now;
        if is_due {
            self.next = BootNs(now.0 + INTERVAL_NS);
        }
        is_due
    }

    /// Adds what is new in these counts of the kernel.
    pub(super) fn add(&mut self, misses: Vec<Misses>) {
        for Misses { program, count, slots } in misses {
            let new = count.saturating_sub(self.known.get(&program).copied().unwrap_or_default());
            if new == 0 {
                continue;
            }
            tracing::warn!(program, count = new, "the kernel skipped a program that was already running");
            // The sums first: if the agent is killed in between, runs count twice, but none is lost in silence.
            for slot in slots {
                self.grow(SKIPPED_OF | slot, new);
            }
            self.grow(program, new);
        }
    }

    /// Adds the skipped runs to a slot's counters.
    pub(crate) fn with(&self, slot: u32, mut count: Count) -> Count {
        let skipped = self.known.get(&(SKIPPED_OF | slot)).copied().unwrap_or_default();
        count.seen += skipped;
        count.lost[LossCause::Skipped as usize] += skipped;
        count
    }

    fn grow(&mut self, key: u32, by: u64) {
        let count = self.known.entry(key).or_default();
        *count += by;
        self.map.set(key, *count);
    }
}
