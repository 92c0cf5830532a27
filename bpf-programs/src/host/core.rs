//! The host's work on records, without actors and without the kernel: reads the rings, updates the process table, builds
//! batches, and keeps each tracer's account up to date.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use actors::{Outbox, clock};
use model::{Accounts, BootNs, ExecId, Pinned, ProcessTable};

use super::at_stop::AtStop;
use super::batch::RawBatch;
use super::demux::{Demux, give_back, read};
use super::lost_by_owner::LostByOwner;
use super::tracer_channel::TracerChannel;
use super::tracer_slot::TracerSlot;
use crate::errors::AttachError;
use crate::kernel::{Attached, Kernel};
use crate::programs::Tracer;
use crate::wire::{COUNT_LIFECYCLE, COUNT_MEDDLED_FULL, COUNT_USAGE_CUT, Counts, Header, Ring};

/// Lifecycle records read in one slice, before control messages are answered and accounts are updated.
const LIFECYCLE_SLICE: usize = 8192;
/// Data records read before the lifecycle ring is polled again.
const DATA_SLICE: usize = 2048;

/// Result of one poll of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollResult {
    /// There may be more to read immediately.
    pub(super) more: bool,
    /// A tracer's queue is full, so records stay in the rings, but for the lifecycle ring.
    pub(super) blocked: bool,
    /// Lifecycle records stay in their ring, too, because too many wait for a queue.
    pub(super) lifecycle_blocked: bool,
}

/// The loaded object with all state the host keeps about it. It outlives the actor: after a crash the next incarnation
/// continues with the following record.
pub(super) struct Core {
    pub(super) kernel: Kernel,
    pub(super) demux: Demux,
    pub(super) last_poll: BootNs,
    known_lifecycle_lost: u64,
    known_filtered: u64,
    known_kept_out: u64,
    owners: LostByOwner,
    /// Lifecycle records were lost, so the process table has to be read again.
    stale: bool,
    last_read: BootNs,
    pub(super) accounts: Accounts,
    /// The kernel side is left running for the next agent, so this one reads no more.
    kept: bool,
    /// The pins are left to whoever stops the host.
    leaves_pins: bool,
}

/// Minimum time between two reads of all processes, which take milliseconds each, while the lifecycle ring overflows.
const REREAD_INTERVAL_NS: u64 = 1_000_000_000;

impl Core {
    /// Creates the core for a kernel side that was just loaded, with a channel for each slot.
    pub(super) fn new(
        kernel: Kernel,
        slots: &[Arc<TracerSlot>],
        table: ProcessTable,
        accounts: Accounts,
    ) -> Self {
        let now = clock::boot_ns();
        let pin_info = &kernel.pin_info;
        // Without a checkpoint, nothing in the rings has been stored since they were made.
        let resumed_at = pin_info.points.values().map(|point| point.at).min().or(pin_info.made);
        let last_poll = resumed_at.unwrap_or(now);
        if let Some(pin) = pin_info.state.pin.clone() {
            accounts.set_pinned(Pinned { pin, adopted: pin_info.state.adopted });
        }
        let owners = LostByOwner::begin(kernel.counters.as_ref());
        let mut core = Self {
            kernel,
            demux: Demux::new(table),
            last_poll,
            known_lifecycle_lost: 0,
            known_filtered: 0,
            known_kept_out: 0,
            owners,
            stale: false,
            last_read: BootNs(0),
            accounts,
            kept: false,
            leaves_pins: false,
        };
        for slot in slots {
            core.open_channel(slot, now);
        }
        core.open_disabled_channels(now);
        core
    }

    /// Reads all existing processes into the process table; returns their ids and the number of records.
    pub(super) fn read_processes(&mut self) -> Result<(HashSet<ExecId>, usize), AttachError> {
        let Self { kernel, demux, .. } = self;
        let (mut alive, mut parents) = (HashSet::new(), Vec::new());
        let count = kernel.processes(&mut |record| {
            if let Ok(header) = Header::parse(record) {
                let id = ExecId { pid: header.pid, start_ns: header.start_ns };
                alive.insert(id);
                parents.push((id, header.ppid));
            }
            demux.learn(record);
        })?;
        demux.table.learn_parents(&parents);
        Ok((alive, count))
    }

    /// Attaches a tracer; from now on its records go to `outbox`.
    pub(super) fn attach(
        &mut self,
        slot: &Arc<TracerSlot>,
        outbox: Outbox<RawBatch>,
    ) -> Result<Attached, AttachError> {
        // Before attaching, so that the first record finds the queue.
        self.set_outbox(slot, outbox);
        let attached = self.kernel.attach(slot.tracer);
        if attached.is_err()
            && let Some(channel) = self.demux.channel(slot.tracer)
        {
            channel.outbox = None;
        }
        attached
    }

    /// Returns the records dropped in the kernel by filter, or `None` if nothing was dropped since the previous call.
    pub(super) fn filtered_by(&mut self) -> Option<BTreeMap<String, u64>> {
        let filtered = self.demux.channels().map(TracerChannel::filtered).sum();
        if std::mem::replace(&mut self.known_filtered, filtered) == filtered {
            return None;
        }
        Some(self.kernel.rules.filtered_by())
    }

    /// Returns whether every record the kernel counted for the tracer has been passed on or counted as lost.
    pub(super) fn is_drained(&mut self, tracer: &'static Tracer) -> bool {
        let swept = self.kept || self.kernel.is_swept(tracer.kind);
        swept
            && self.demux.channel(tracer).is_none_or(|channel| channel.is_drained() && !channel.is_blocked())
    }

    /// Drops a detached tracer's queue; records that never arrived are counted as lost.
    pub(super) fn forget(&mut self, tracer: &'static Tracer) {
        let span = (self.last_poll, clock::boot_ns());
        if let Some(channel) = self.demux.channel(tracer) {
            channel.flush();
            channel.write_off(span, "the tracer was detached before they were read");
            channel.outbox = None;
            channel.offer();
        }
    }

    /// Switches all programs off, so that nothing new gets into the rings. If they go on recording for the next agent, only
    /// reading stops. They are detached after the records are read: with many functions that may take longer than a stop.
    pub(super) fn switch_off(&mut self, at_stop: AtStop) {
        let is_pinned = self.kernel.pin_info.state.pin.is_some();
        self.kept = is_pinned && at_stop == AtStop::GoOn;
        self.leaves_pins = is_pinned && at_stop == AtStop::LeavePins;
        if self.kept {
            self.kernel.count_skipped(None);
        } else {
            self.kernel.switch_off();
        }
    }

    /// Returns whether nothing is left to read or to pass on.
    pub(super) fn is_done(&self) -> bool {
        let swept = self.kept || self.kernel.is_all_swept();
        swept
            && self
                .demux
                .channels()
                .all(|channel| (self.kept || channel.is_drained()) && !channel.is_blocked())
    }

    /// Closes all accounts: records that never arrived are counted as lost, and every queue is dropped. Then detaches the
    /// programs, unless their pins are left.
    pub(super) fn finish(&mut self) {
        if self.kept {
            self.demux.channels_mut().for_each(|channel| channel.outbox = None);
            return;
        }
        if !self.kernel.is_all_swept() {
            self.kernel.sweep_last();
            self.update_accounts();
        }
        let tracers: Vec<_> = self.demux.channels().map(|channel| channel.tracer()).collect();
        tracers.into_iter().for_each(|tracer| self.forget(tracer));
        if !self.leaves_pins {
            self.kernel.hooks.close();
        }
    }

    /// Reads a slice of each ring, lifecycle first.
    pub(super) fn poll(&mut self) -> PollResult {
        let Self { kernel, demux, accounts, kept, .. } = self;
        if !*kept {
            kernel.sweep();
        }
        demux.channels_mut().for_each(TracerChannel::offer);
        demux.store_is_down = accounts.is_store_down();
        if demux.store_is_down {
            demux.channels().for_each(TracerChannel::stop_holding);
        }
        let mut more = false;
        if !*kept {
            kernel.mark();
            let unstored = kernel.unstored.as_mut();
            for (ring, records) in Ring::ALL.into_iter().zip(&mut kernel.rings) {
                let limit = if ring == Ring::Lifecycle { LIFECYCLE_SLICE } else { DATA_SLICE };
                let count = read(records.as_mut(), unstored, demux, ring, limit);
                let whole = ring != Ring::Lifecycle || records.is_at_mark();
                more |= (!whole || count == limit) && !demux.is_blocked(ring);
                // Other records need a process table that is as new as they are.
                if !whole {
                    break;
                }
            }
        }
        if !more {
            demux.channels_mut().for_each(TracerChannel::flush);
        }
        self.kernel.rules.learn(&self.demux.table);
        self.release();
        self.update_accounts();
        let [lifecycle_blocked, blocked] =
            [Ring::Lifecycle, Ring::Data].map(|ring| self.demux.is_blocked(ring));
        PollResult { more, blocked, lifecycle_blocked }
    }

    /// Returns to the kernel the room of records that need not wait for the store any more. Asks the store to hurry if a
    /// large part of a ring waits for it.
    fn release(&mut self) {
        let Self { kernel, demux, accounts, .. } = self;
        let mut pressed = false;
        for ring in Ring::ALL {
            let records = kernel.rings[ring as usize].as_mut();
            pressed |= give_back(records, kernel.unstored.as_mut(), demux, ring);
        }
        if pressed {
            accounts.request_flush();
        }
    }

    fn update_accounts(&mut self) {
        let now = clock::boot_ns();
        let span = (self.last_poll, now);
        self.last_poll = now;
        if !self.kept {
            self.kernel.tend_skipped();
        }
        match self.kernel.counts() {
            Ok(counts) => self.count(&counts, span),
            Err(cause) => tracing::error!(%cause, "reading counters failed"),
        }
        if self.stale && now.0.saturating_sub(self.last_read.0) > REREAD_INTERVAL_NS {
            (self.stale, self.last_read) = (false, now);
            self.reread_processes();
        }
    }

    /// Brings the accounts up to date with what the kernel has counted.
    fn count(&mut self, counts: &Counts, span: (BootNs, BootNs)) {
        let of = |channel: &TracerChannel| counts.slot(channel.tracer().kind as u32);
        // After the counters: the kernel counts in the other order, so that every loss has its owner.
        let kept_out = self.demux.channels().map(|channel| of(channel).kept_out()).sum();
        if std::mem::replace(&mut self.known_kept_out, kept_out) != kept_out {
            self.owners.refresh(self.kernel.counters.as_mut());
        }
        for channel in self.demux.channels_mut() {
            let count = of(channel);
            channel.count(count, &mut self.owners, span);
        }
        let lost = counts.slot(COUNT_LIFECYCLE).kept_out();
        if lost > self.known_lifecycle_lost {
            let count = lost - self.known_lifecycle_lost;
            tracing::warn!(
                count,
                "records of starts, executions or ends were lost: cwd, exe or container of some processes may be missing"
            );
            self.known_lifecycle_lost = lost;
            self.stale = true;
        }
        self.demux.counters.lifecycle_lost = lost;
        self.demux.counters.usage_paths_cut = counts.slot(COUNT_USAGE_CUT).seen;
        let full = counts.slot(COUNT_MEDDLED_FULL).seen;
        if std::mem::replace(&mut self.demux.counters.meddled_full, full) == 0 && full > 0 {
            tracing::warn!(
                "too many processes of one user are debugged or share their descriptors: from now on, rows of all processes of that user are marked `unverified` as theirs are"
            );
        }
    }

    /// Reads all processes again and removes those that are gone, because records of starts and exits may have been lost.
    fn reread_processes(&mut self) {
        let at = clock::boot_ns();
        match self.read_processes() {
            Ok((alive, _)) => self.demux.table.retain(&alive, at),
            Err(cause) => tracing::warn!(%cause, "reading all processes again failed"),
        }
    }
}
