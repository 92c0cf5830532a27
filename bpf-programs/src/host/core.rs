//! What the host does with records, free of actors and of the kernel: read both rings, feed the process table,
//! cut batches, keep the books.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use actors::{Outbox, clock};
use model::pushdown::Split;
use model::{Accounts, BootNs, ExecId, Pinned, ProcessTable};

use super::PinState;
use super::batch::RawBatch;
use super::desk::{Desk, read};
use super::port::Port;
use super::seat::Seat;
use super::source::{Attached, Footing, Ring, Source};
use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::rules::Lowered;
use crate::wire::{COUNT_LIFECYCLE, COUNT_SLOTS, Header, Kind};

/// Lifecycle records read at a stretch, before control is answered and the books are kept.
const LIFECYCLE_SLICE: usize = 8192;
/// Data records read before lifecycle is looked at again.
const DATA_SLICE: usize = 2048;
/// One part in so many of a ring that waits for the store makes it hurry.
const PRESSED_AT: u64 = 8;

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// There may be more to read at once.
    pub(super) more: bool,
    /// A tracer's queue is full, so that data is left in its ring.
    pub(super) blocked: bool,
    /// Much of a ring waits for the store.
    pub(super) held: bool,
}

/// Counters of what no tracer's account can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strays {
    /// Records of the lifecycle ring that found it full: the process table misses what they said.
    pub(super) lifecycle_lost: u64,
    /// Records too short or of an unknown kind.
    pub(super) malformed: u64,
    /// Lifecycle records that could not be read for the process table.
    pub(super) unreadable: u64,
}

/// The loaded object with everything the host keeps about it. It outlives the actor: when that falls, its
/// successor goes on with the record after.
pub(super) struct Core {
    pub(super) source: Box<dyn Source>,
    pub(super) desk: Desk,
    pub(super) last_look: BootNs,
    known_lifecycle_lost: u64,
    known_filtered: u64,
    /// The process table misses what lost records said.
    stale: bool,
    last_read: BootNs,
    pub(super) accounts: Accounts,
    /// Nothing will come out of the ledger any more.
    at_rest: bool,
    /// What the kernel side does is a successor's from now on: nothing is read any more.
    kept: bool,
}

/// Reading all processes takes milliseconds: while the lifecycle ring overflows, it is done this often at most.
const READ_ANEW: u64 = 1_000_000_000;

impl Core {
    /// Around a source that was just loaded.
    pub(super) fn new(
        source: Box<dyn Source>,
        seats: &[Arc<Seat>],
        table: ProcessTable,
        accounts: Accounts,
    ) -> Self {
        let now = clock::boot_ns();
        let footing = source.footing();
        let desk = Desk {
            ports: Vec::new(),
            by_kind: [None; COUNT_SLOTS as usize],
            table,
            strays: Strays::default(),
        };
        let last_look = footing.points.values().map(|point| point.at).min().unwrap_or(now);
        let (stale, last_read) = (false, BootNs(0));
        let mut core = Self {
            source,
            desk,
            last_look,
            known_lifecycle_lost: 0,
            known_filtered: 0,
            stale,
            last_read,
            accounts,
            at_rest: true,
            kept: false,
        };
        if let Some(pin) = &footing.pin {
            core.accounts.set_pinned(Pinned { pin: pin.clone(), adopted: footing.adopted });
        }
        for seat in seats {
            core.seat(seat, &footing, now);
        }
        core.seat_the_disabled(&footing, now);
        core
    }

    /// Reads the processes that are there already into the table; says how many.
    pub(super) fn read_processes(&mut self) -> Result<usize, AttachError> {
        let (_, count) = self.read_all()?;
        Ok(count)
    }

    /// All processes that live, and how many records that were.
    fn read_all(&mut self) -> Result<(HashSet<ExecId>, usize), AttachError> {
        let Self { source, desk, .. } = self;
        let (mut alive, mut parents) = (HashSet::new(), Vec::new());
        let count = source.processes(&mut |record| {
            if let Ok(header) = Header::parse(record) {
                let id = ExecId { pid: header.pid, start_ns: header.start_ns };
                alive.insert(id);
                parents.push((id, header.ppid));
            }
            desk.learn(record);
        })?;
        desk.table.settle(&parents);
        Ok((alive, count))
    }

    /// Attaches a tracer; its records go to `outbox` from now on.
    pub(super) fn attach(
        &mut self,
        seat: &Arc<Seat>,
        outbox: Outbox<RawBatch>,
    ) -> Result<Attached, AttachError> {
        let port = self.port_for(seat);
        // First, so that the first record has where to go.
        port.outbox = Some(outbox);
        let attached = self.source.attach(seat.tracer);
        if attached.is_err() {
            self.port_for(seat).outbox = None;
        }
        attached
    }

    /// Changes whose doings are recorded.
    pub(super) fn set_uids(&mut self, uids: &[u32]) {
        self.source.set_uids(uids);
    }

    /// Has the kernel side drop what these rules hold for.
    pub(super) fn set_rules(&mut self, rules: &Lowered) {
        self.source.set_rules(rules, &self.desk.table);
    }

    /// How filters are split by the rules that hold.
    pub(super) fn splits(&self) -> Vec<Split> {
        self.source.splits()
    }

    /// What was dropped in the kernel, by filter, if that is more than when it was asked last.
    pub(super) fn filtered_by(&mut self) -> Option<BTreeMap<String, u64>> {
        let filtered = self.desk.ports.iter().map(Port::filtered).sum();
        if std::mem::replace(&mut self.known_filtered, filtered) == filtered {
            return None;
        }
        Some(self.source.filtered_by())
    }

    /// Stops a tracer emitting. Its records that are still in a ring are read by the looks that follow, until
    /// [`Core::is_drained`]; then [`Core::forget`] ends it.
    pub(super) fn detach(&mut self, tracer: &'static Tracer) {
        self.source.detach(tracer);
    }

    /// Whether everything the kernel counted for the tracer has been passed on or booked.
    pub(super) fn is_drained(&self, tracer: &'static Tracer) -> bool {
        let told = self.at_rest || tracer.kind != Kind::Usage;
        told && self.port(tracer).is_none_or(|port| port.is_drained() && !port.is_blocked())
    }

    /// Lets go of a detached tracer's queue; what never came is booked as lost.
    pub(super) fn forget(&mut self, tracer: &'static Tracer) {
        let span = (self.last_look, clock::boot_ns());
        if let Some(port) = self.desk.by_kind[tracer.kind as usize].map(|port| &mut self.desk.ports[port]) {
            port.flush();
            port.write_off(span, "the tracer was detached before they were read");
            port.outbox = None;
            port.offer();
        }
    }

    /// Stops everything: nothing new gets into the rings. With `keep` it is not they that stop but their reading:
    /// a successor goes on with it.
    pub(super) fn close(&mut self, keep: bool) {
        self.kept = keep && self.source.footing().pin.is_some();
        if !self.kept {
            self.source.close();
        }
    }

    /// Whether nothing is left to read or to pass on.
    pub(super) fn is_done(&self) -> bool {
        let told = self.kept || self.at_rest;
        told && self.desk.ports.iter().all(|port| (self.kept || port.is_drained()) && !port.is_blocked())
    }

    /// What is to be shown of pinned rings.
    pub(super) fn pin_state(&self) -> Option<PinState> {
        let Footing { pin, folder, adopted, refused, problem, .. } = self.source.footing();
        (pin.is_some() || problem.is_some() || refused.is_some()).then_some(PinState {
            pin,
            folder,
            adopted,
            refused,
            problem,
        })
    }

    /// Ends the books: what never came is lost, every queue is let go.
    pub(super) fn finish(&mut self) {
        if self.kept {
            self.desk.ports.iter_mut().for_each(|port| port.outbox = None);
            return;
        }
        let tracers: Vec<_> = self.desk.ports.iter().map(|port| port.tracer()).collect();
        tracers.into_iter().for_each(|tracer| self.forget(tracer));
    }

    /// Reads a stretch of both rings, lifecycle first.
    pub(super) fn look(&mut self) -> Look {
        let Self { source, desk, accounts, kept, at_rest, .. } = self;
        *at_rest = *kept || source.tend();
        desk.ports.iter_mut().for_each(Port::offer);
        if accounts.is_store_down() {
            desk.ports.iter().for_each(Port::let_go);
        }
        let limit = if *kept { 0 } else { LIFECYCLE_SLICE };
        source.mark();
        read(source.as_mut(), desk, Ring::Lifecycle, limit);
        let whole = source.is_lifecycle_read();
        // While a queue is full its records stay in the ring, where the kernel counts what does not fit.
        let blocked = desk.ports.iter().any(Port::is_blocked);
        let limit = if blocked || *kept || !whole { 0 } else { DATA_SLICE };
        let data = read(source.as_mut(), desk, Ring::Data, limit);
        let more = !*kept && (!whole || (data == DATA_SLICE && !blocked));
        if !more {
            desk.ports.iter_mut().for_each(Port::flush);
        }
        self.source.learn(&self.desk.table);
        let held = self.release();
        self.keep_books();
        Look { more, held, blocked: self.desk.ports.iter().any(Port::is_blocked) }
    }

    /// Gives the kernel back what the store has by now. Where much waits for it, it is told to hurry.
    fn release(&mut self) -> bool {
        let Self { source, desk, accounts, .. } = self;
        let mut pressed = false;
        for ring in [Ring::Lifecycle, Ring::Data] {
            let cursor = source.cursor(ring);
            let upto = desk.held_from(ring).unwrap_or(cursor);
            source.release(ring, upto);
            pressed |= cursor - upto > source.size(ring) / PRESSED_AT;
        }
        if pressed {
            accounts.press();
        }
        pressed
    }

    fn keep_books(&mut self) {
        let now = clock::boot_ns();
        let span = (self.last_look, now);
        self.last_look = now;
        for port in &mut self.desk.ports {
            match self.source.count(port.tracer().kind as u32) {
                Ok(count) => port.count(count, span),
                Err(cause) => tracing::error!(%cause, tracer = port.tracer().name, "reading counters failed"),
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
        self.desk.strays.lifecycle_lost = lost;
        if self.stale && now.0.saturating_sub(self.last_read.0) > READ_ANEW {
            (self.stale, self.last_read) = (false, now);
            self.read_anew();
        }
    }

    /// Reads all processes again, and lets go of those that are gone: records of starts and ends may be among
    /// those that were lost.
    fn read_anew(&mut self) {
        let at = clock::boot_ns();
        match self.read_all() {
            Ok((alive, _)) => self.desk.table.retain(&alive, at),
            Err(cause) => tracing::warn!(%cause, "reading the processes anew failed"),
        }
    }

    /// What the process table lacks.
    pub(super) fn lacks(&self) -> Vec<String> {
        self.source.lacks()
    }

    /// Counters of what no tracer's account holds.
    pub(super) fn strays(&self) -> Strays {
        self.desk.strays
    }

    /// What becomes readable when a ring fills up.
    pub(super) fn wakers(&self) -> io::Result<[OwnedFd; 2]> {
        self.source.wakers()
    }

    fn port(&self, tracer: &'static Tracer) -> Option<&Port> {
        self.desk.by_kind.get(tracer.kind as usize).copied().flatten().map(|port| &self.desk.ports[port])
    }
}
