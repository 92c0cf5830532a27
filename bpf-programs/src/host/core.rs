//! The host's work on records, without actors and without the kernel: reads both rings, updates the process table, builds
//! batches, and keeps each tracer's account up to date.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use actors::{Outbox, clock};
use model::pushdown::Split;
use model::{Accounts, BootNs, ExecId, Pinned, ProcessTable};

use super::PinState;
use super::batch::RawBatch;
use super::demux::{Demux, read};
use super::source::{Attached, PinInfo, Ring, Source};
use super::tracer_channel::TracerChannel;
use super::tracer_slot::TracerSlot;
use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::rules::Lowered;
use crate::wire::{COUNT_LIFECYCLE, COUNT_SLOTS, Header, Kind};

/// Lifecycle records read in one slice, before control messages are answered and accounts are updated.
const LIFECYCLE_SLICE: usize = 8192;
/// Data records read before the lifecycle ring is polled again.
const DATA_SLICE: usize = 2048;
/// The store is asked to hurry when more than 1/N of a ring waits for it.
const PRESSED_AT: u64 = 8;

/// Result of one poll of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollResult {
    /// There may be more to read immediately.
    pub(super) more: bool,
    /// A tracer's queue is full, so data stays in its ring.
    pub(super) blocked: bool,
    /// A large part of a ring waits for the store.
    pub(super) held: bool,
}

/// Counters of records that belong to no tracer's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HostCounters {
    /// Records lost because the lifecycle ring was full; the process table misses their contents.
    pub(super) lifecycle_lost: u64,
    /// Records too short or of an unknown kind.
    pub(super) malformed: u64,
    /// Lifecycle records that could not be read for the process table.
    pub(super) unreadable: u64,
}

/// The loaded object with all state the host keeps about it. It outlives the actor: after a crash the next incarnation
/// continues with the following record.
pub(super) struct Core {
    pub(super) source: Box<dyn Source>,
    pub(super) demux: Demux,
    pub(super) last_poll: BootNs,
    known_lifecycle_lost: u64,
    known_filtered: u64,
    /// Lifecycle records were lost, so the process table has to be read again.
    stale: bool,
    last_read: BootNs,
    pub(super) accounts: Accounts,
    /// The usage ledger is off and completely flushed.
    ledger_drained: bool,
    /// The kernel side is left running for the next agent, so this one reads no more.
    kept: bool,
}

/// Minimum time between two reads of all processes, which take milliseconds each, while the lifecycle ring overflows.
const REREAD_INTERVAL_NS: u64 = 1_000_000_000;

impl Core {
    /// Creates the core for a source that was just loaded, with a channel for each slot.
    pub(super) fn new(
        source: Box<dyn Source>,
        slots: &[Arc<TracerSlot>],
        table: ProcessTable,
        accounts: Accounts,
    ) -> Self {
        let now = clock::boot_ns();
        let pin_info = source.pin_info();
        let demux = Demux {
            channels: Vec::new(),
            by_kind: [None; COUNT_SLOTS as usize],
            table,
            counters: HostCounters::default(),
        };
        let last_poll = pin_info.points.values().map(|point| point.at).min().unwrap_or(now);
        let (stale, last_read) = (false, BootNs(0));
        let mut core = Self {
            source,
            demux,
            last_poll,
            known_lifecycle_lost: 0,
            known_filtered: 0,
            stale,
            last_read,
            accounts,
            ledger_drained: true,
            kept: false,
        };
        if let Some(pin) = &pin_info.pin {
            core.accounts.set_pinned(Pinned { pin: pin.clone(), adopted: pin_info.adopted });
        }
        for slot in slots {
            core.open_channel(slot, &pin_info, now);
        }
        core.open_disabled_channels(&pin_info, now);
        core
    }

    /// Reads all existing processes into the process table and returns their number.
    pub(super) fn read_processes(&mut self) -> Result<usize, AttachError> {
        let (_, count) = self.read_all()?;
        Ok(count)
    }

    /// Reads all existing processes; returns their ids and the number of records.
    fn read_all(&mut self) -> Result<(HashSet<ExecId>, usize), AttachError> {
        let Self { source, demux, .. } = self;
        let (mut alive, mut parents) = (HashSet::new(), Vec::new());
        let count = source.processes(&mut |record| {
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
        let channel = self.channel_for(slot);
        // Before attaching, so that the first record finds the queue.
        channel.outbox = Some(outbox);
        let attached = self.source.attach(slot.tracer);
        if attached.is_err() {
            self.channel_for(slot).outbox = None;
        }
        attached
    }

    /// Restricts recording to these users; an empty list records every user.
    pub(super) fn set_uids(&mut self, uids: &[u32]) {
        self.source.set_uids(uids);
    }

    /// Replaces the rules by which the kernel drops records.
    pub(super) fn set_rules(&mut self, rules: &Lowered) {
        self.source.set_rules(rules, &self.demux.table);
    }

    /// Returns how the rules in force split each filter between kernel and collector.
    pub(super) fn splits(&self) -> Vec<Split> {
        self.source.splits()
    }

    /// Returns the records dropped in the kernel by filter, or `None` if nothing was dropped since the previous call.
    pub(super) fn filtered_by(&mut self) -> Option<BTreeMap<String, u64>> {
        let filtered = self.demux.channels.iter().map(TracerChannel::filtered).sum();
        if std::mem::replace(&mut self.known_filtered, filtered) == filtered {
            return None;
        }
        Some(self.source.filtered_by())
    }

    /// Stops a tracer from emitting. Following polls read its records that are still in a ring, until
    /// [`Core::is_drained`]; then [`Core::forget`] completes the detach.
    pub(super) fn detach(&mut self, tracer: &'static Tracer) {
        self.source.detach(tracer);
    }

    /// Returns whether every record the kernel counted for the tracer has been passed on or counted as lost.
    pub(super) fn is_drained(&self, tracer: &'static Tracer) -> bool {
        let flushed = self.ledger_drained || tracer.kind != Kind::Usage;
        flushed && self.channel(tracer).is_none_or(|channel| channel.is_drained() && !channel.is_blocked())
    }

    /// Drops a detached tracer's queue; records that never arrived are counted as lost.
    pub(super) fn forget(&mut self, tracer: &'static Tracer) {
        let span = (self.last_poll, clock::boot_ns());
        if let Some(channel) =
            self.demux.by_kind[tracer.kind as usize].map(|channel| &mut self.demux.channels[channel])
        {
            channel.flush();
            channel.write_off(span, "the tracer was detached before they were read");
            channel.outbox = None;
            channel.offer();
        }
    }

    /// Stops all programs, so that nothing new gets into the rings. With `keep` and pinned rings the programs keep running
    /// and only reading stops: the next agent resumes it.
    pub(super) fn close(&mut self, keep: bool) {
        self.kept = keep && self.source.pin_info().pin.is_some();
        if !self.kept {
            self.source.close();
        }
    }

    /// Returns whether nothing is left to read or to pass on.
    pub(super) fn is_done(&self) -> bool {
        let flushed = self.kept || self.ledger_drained;
        flushed
            && self
                .demux
                .channels
                .iter()
                .all(|channel| (self.kept || channel.is_drained()) && !channel.is_blocked())
    }

    /// Returns the state of pinned rings for `status`; `None` if pinning is not used.
    pub(super) fn pin_state(&self) -> Option<PinState> {
        let PinInfo { pin, folder, adopted, refused, problem, .. } = self.source.pin_info();
        (pin.is_some() || problem.is_some() || refused.is_some()).then_some(PinState {
            pin,
            folder,
            adopted,
            refused,
            problem,
        })
    }

    /// Closes all accounts: records that never arrived are counted as lost, and every queue is dropped.
    pub(super) fn finish(&mut self) {
        if self.kept {
            self.demux.channels.iter_mut().for_each(|channel| channel.outbox = None);
            return;
        }
        let tracers: Vec<_> = self.demux.channels.iter().map(|channel| channel.tracer()).collect();
        tracers.into_iter().for_each(|tracer| self.forget(tracer));
    }

    /// Reads a slice of both rings, lifecycle first.
    pub(super) fn poll(&mut self) -> PollResult {
        let Self { source, demux, accounts, kept, ledger_drained, .. } = self;
        *ledger_drained = *kept || source.tend();
        demux.channels.iter_mut().for_each(TracerChannel::offer);
        if accounts.is_store_down() {
            demux.channels.iter().for_each(TracerChannel::stop_holding);
        }
        let limit = if *kept { 0 } else { LIFECYCLE_SLICE };
        source.mark();
        read(source.as_mut(), demux, Ring::Lifecycle, limit);
        let whole = source.is_lifecycle_read();
        // While a queue is full, records stay in the ring; the kernel counts those that no longer fit.
        let blocked = demux.channels.iter().any(TracerChannel::is_blocked);
        let limit = if blocked || *kept || !whole { 0 } else { DATA_SLICE };
        let data = read(source.as_mut(), demux, Ring::Data, limit);
        let more = !*kept && (!whole || (data == DATA_SLICE && !blocked));
        if !more {
            demux.channels.iter_mut().for_each(TracerChannel::flush);
        }
        self.source.learn(&self.demux.table);
        let held = self.release();
        self.update_accounts();
        PollResult { more, held, blocked: self.demux.channels.iter().any(TracerChannel::is_blocked) }
    }

    /// Returns to the kernel the room of records that the store has committed. Asks the store to hurry, and returns true,
    /// if a large part of a ring waits for it.
    fn release(&mut self) -> bool {
        let Self { source, demux, accounts, .. } = self;
        let mut pressed = false;
        for ring in [Ring::Lifecycle, Ring::Data] {
            let cursor = source.cursor(ring);
            let upto = demux.held_from(ring).unwrap_or(cursor);
            source.release(ring, upto);
            pressed |= cursor - upto > source.size(ring) / PRESSED_AT;
        }
        if pressed {
            accounts.request_flush();
        }
        pressed
    }

    fn update_accounts(&mut self) {
        let now = clock::boot_ns();
        let span = (self.last_poll, now);
        self.last_poll = now;
        for channel in &mut self.demux.channels {
            match self.source.count(channel.tracer().kind as u32) {
                Ok(count) => channel.count(count, span),
                Err(cause) => {
                    tracing::error!(%cause, tracer = channel.tracer().name, "reading counters failed")
                }
            }
        }
        let lost = self.source.count(COUNT_LIFECYCLE).map_or(self.known_lifecycle_lost, |count| count.lost);
        if lost > self.known_lifecycle_lost {
            let count = lost - self.known_lifecycle_lost;
            tracing::warn!(
                count,
                "lifecycle ring was full: cwd, exe or container of some processes may be missing"
            );
            self.known_lifecycle_lost = lost;
            self.stale = true;
        }
        self.demux.counters.lifecycle_lost = lost;
        if self.stale && now.0.saturating_sub(self.last_read.0) > REREAD_INTERVAL_NS {
            (self.stale, self.last_read) = (false, now);
            self.reread_processes();
        }
    }

    /// Reads all processes again and removes those that are gone, because records of starts and exits may have been lost.
    fn reread_processes(&mut self) {
        let at = clock::boot_ns();
        match self.read_all() {
            Ok((alive, _)) => self.demux.table.retain(&alive, at),
            Err(cause) => tracing::warn!(%cause, "reading all processes again failed"),
        }
    }

    /// Returns the missing parts of the process table, each with the cause.
    pub(super) fn lacks(&self) -> Vec<String> {
        self.source.lacks()
    }

    /// Returns the counters of records that belong to no tracer's account.
    pub(super) fn counters(&self) -> HostCounters {
        self.demux.counters
    }

    /// Returns descriptors that become readable when a ring fills up.
    pub(super) fn wakers(&self) -> io::Result<[OwnedFd; 2]> {
        self.source.wakers()
    }

    fn channel(&self, tracer: &'static Tracer) -> Option<&TracerChannel> {
        self.demux
            .by_kind
            .get(tracer.kind as usize)
            .copied()
            .flatten()
            .map(|channel| &self.demux.channels[channel])
    }
}
