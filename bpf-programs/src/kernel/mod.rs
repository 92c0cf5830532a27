//! The loaded kernel side: its parts, and the operations that need several of them. The loader makes it from the object;
//! the host holds it.
//!
//! ```text
//!  rings     lifecycle, security and data: records in the order in which they were written
//!  counters  map counts: events seen, lost, sampled and filtered
//!  unstored  map unstored: what left pinned rings before it was in the store
//!  skipped   map skipped: runs of programs that the kernel skipped
//!  settings  map settings: tracers enabled, users recorded, rules in force
//!  hooks     programs and their links
//!  rules     maps tests, path_sets, cgroup_sets, trees, system_folders, filtered_by
//!  ledger    schedule of maps usage_0 and usage_1
//! ```

mod parts;
mod pin;
mod settings;
mod skipped;

use std::io;

use actors::clock;
use model::pushdown::Split;
use model::{BootNs, ProcessTable};

pub(crate) use parts::{
    Attached, Counters, FilterRules, Hooks, Misses, Records, SettingsMap, SkippedMap, UnstoredMap,
};
pub(crate) use pin::{Missing, PinInfo, PinState};
pub(crate) use settings::LiveSettings;
pub(crate) use skipped::Skipped;

use crate::catalog::{PROCESSES, tracers};
use crate::errors::AttachError;
use crate::ledger::{Ledger, sweep_once};
use crate::lowered::Lowered;
use crate::programs::Tracer;
use crate::tracers::{udp, uring, uring_unposted};
use crate::wire::{self, Count, Counts, Kind};

/// The kernel side, by parts. Dropping it detaches everything that is not pinned.
pub(crate) struct Kernel {
    /// The rings by number, see [`wire::Ring`].
    pub(crate) rings: [Box<dyn Records>; 3],
    pub(crate) counters: Box<dyn Counters>,
    pub(crate) unstored: Box<dyn UnstoredMap>,
    pub(crate) skipped: Skipped,
    pub(crate) settings: LiveSettings,
    pub(crate) hooks: Box<dyn Hooks>,
    pub(crate) rules: Box<dyn FilterRules>,
    /// How the rules in force split each filter between kernel and collector.
    pub(crate) splits: Vec<Split>,
    pub(crate) ledger: Ledger,
    /// The tracer of UDP datagrams was detached, and sums of its flows wait for room in a ring.
    pub(crate) has_flows: bool,
    /// Time of the next look for requests of io_uring that ended without a completion; `None` if it is not possible.
    pub(crate) next_requests: Option<BootNs>,
    pub(crate) pin_info: PinInfo,
    /// Parts of the process table that are missing for lack of a hook, each with the cause.
    pub(crate) lacks: Vec<String>,
    /// Why `ebpf.tier = "auto"` did not take a tier that it prefers.
    pub(crate) passed_over: Option<String>,
}

impl Kernel {
    /// Attaches a tracer's programs and enables it. Attaching twice changes nothing.
    pub(crate) fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError> {
        if self.skipped.has_begun(clock::boot_ns()) {
            self.count_skipped(Some(tracer));
        }
        let attached = self.hooks.attach(tracer);
        match &attached {
            Ok(_) => {
                self.settings.change(|settings| settings.enable(tracer.kind, true));
                self.ledger.set_attached(tracer.kind, true, clock::boot_ns());
                self.has_flows &= tracer.kind != Kind::Udp;
            }
            Err(_) => self.detach(tracer),
        }
        attached
    }

    /// Disables a tracer and detaches the programs that only it needs.
    pub(crate) fn detach(&mut self, tracer: &'static Tracer) {
        let had_flows = tracer.kind == Kind::Udp && self.settings.is_enabled(Kind::Udp);
        self.settings.change(|settings| settings.enable(tracer.kind, false));
        self.count_skipped(Some(tracer));
        self.hooks.detach(tracer);
        self.ledger.set_attached(tracer.kind, false, clock::boot_ns());
        if had_flows {
            // Programs that began before they were detached may still be adding.
            wait_for_programs();
            self.has_flows = true;
        }
    }

    /// Switches all tracers off: programs that begin from now on return at once, and those that began before have ended.
    /// Records in the rings stay there; sums become records in the next sweeps.
    pub(crate) fn switch_off(&mut self) {
        let had_flows = self.settings.is_enabled(Kind::Udp);
        self.settings.change(|settings| settings.enabled = 0);
        wait_for_programs();
        self.count_skipped(None);
        self.ledger.end();
        self.has_flows |= had_flows;
    }

    /// Counts the runs of programs that the kernel has skipped since the last time: of all, or of those of one tracer.
    pub(crate) fn count_skipped(&mut self, of: Option<&Tracer>) {
        let misses = self.hooks.misses(of);
        self.skipped.add(misses);
    }

    /// Counts them from time to time.
    pub(crate) fn tend_skipped(&mut self) {
        if self.skipped.is_due(clock::boot_ns()) {
            self.count_skipped(None);
        }
    }

    /// Returns all counters, summed over all CPUs, with the events that the kernel skipped.
    pub(crate) fn counts(&self) -> io::Result<Counts> {
        let mut counts = self.counters.counts()?;
        for (slot, count) in (0..).zip(&mut counts.slots) {
            *count = self.skipped.with(slot, *count);
        }
        Ok(counts)
    }

    /// Returns one slot's counters.
    pub(crate) fn count(&self, slot: u32) -> io::Result<Count> {
        Ok(self.counts()?.slot(slot))
    }

    /// Makes sums into records, as far as they are due and there is room in the rings.
    pub(crate) fn sweep(&mut self) {
        self.sweep_requests();
        self.ledger.tend(self.hooks.as_mut(), &mut self.settings, self.counters.as_ref());
        if self.has_flows {
            let left = sweep_once(self.hooks.as_mut(), &udp::SWEEP).map(|sweep| sweep.left);
            self.has_flows = left.unwrap_or_else(|cause| {
                tracing::error!(%cause, "ending UDP flows failed: their sums are missing");
                0
            }) > 0;
        }
    }

    /// Records requests of io_uring that ended without a completion, from time to time.
    fn sweep_requests(&mut self) {
        let now = clock::boot_ns();
        let is_due = self.next_requests.is_some_and(|next| next <= now);
        let is_recorded = |tracer: &Tracer| {
            self.settings.is_enabled(tracer.kind) && tracer.programs.contains(&uring::SUBMIT)
        };
        if !is_due || !tracers().any(is_recorded) {
            return;
        }
        self.next_requests = Some(BootNs(now.0 + uring_unposted::INTERVAL_NS));
        for _ in 0..uring_unposted::RINGS {
            match sweep_once(self.hooks.as_mut(), &uring_unposted::SWEEP) {
                Ok(sweep) if sweep.left > 0 => {}
                Ok(_) => return,
                Err(cause) => {
                    tracing::warn!(%cause, "results of io_uring's requests without completions may be missing");
                    self.next_requests = None;
                    return;
                }
            }
        }
    }

    /// Returns whether no sums wait that will become records of this kind.
    pub(crate) fn is_swept(&self, kind: Kind) -> bool {
        (kind != Kind::Usage || self.ledger.is_off()) && (kind != Kind::Udp || !self.has_flows)
    }

    /// Returns whether no sums wait.
    pub(crate) fn is_all_swept(&self) -> bool {
        self.is_swept(Kind::Usage) && self.is_swept(Kind::Udp)
    }

    /// Sweeps a last time, because the agent can't wait any longer: sums that find no room now are counted as lost.
    pub(crate) fn sweep_last(&mut self) {
        self.settings.change(|settings| settings.last_sweep = 1);
        self.sweep();
        self.ledger.sweep_last(self.hooks.as_mut(), &mut self.settings);
    }

    /// Replaces the rules by which the kernel drops records.
    pub(crate) fn set_rules(&mut self, rules: &Lowered, table: &ProcessTable) {
        self.settings.change(|settings| self.rules.put(rules, table, settings));
        self.splits.clone_from(&rules.splits);
    }

    /// Visits a record for each existing process; returns their number.
    pub(crate) fn processes(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<usize, AttachError> {
        let proof = self.settings.prove_identity();
        let bytes = self.hooks.iterate(&PROCESSES);
        self.settings.note_own_identity(proof);
        let bytes = bytes?;
        let mut count = 0;
        for record in wire::split(&bytes) {
            visit(record.map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })?);
            count += 1;
        }
        Ok(count)
    }

    /// Moves the read limits of all rings to their current ends, if everything below the lifecycle ring's limit has been
    /// read. The lifecycle ring is last, so that every lifecycle record written before another record is also read before
    /// it.
    pub(crate) fn mark(&mut self) {
        let [lifecycle, others @ ..] = &mut self.rings;
        if lifecycle.is_at_mark() {
            others.iter_mut().for_each(|ring| ring.mark());
            lifecycle.mark();
        }
    }
}

/// Waits until programs that began before have ended. If the kernel does not say when, they have had the time it took to
/// ask.
fn wait_for_programs() {
    if let Err(cause) = wire::wait_for_programs() {
        tracing::debug!(%cause, "waiting for programs failed");
    }
}
