//! One tracer at the host: its books, its batch in the making, what waits for room in its queue.

use std::collections::VecDeque;
use std::sync::Arc;

use actors::Outbox;
use model::{BootNs, Checkpoint, Place, SAMPLED, SinkName, Stretch};

use super::batch::{Cut, RawBatch};
use super::seat::Seat;
use super::source::{Count, Ring};
use crate::programs::Tracer;

/// Bytes that may wait for room in one tracer's queue. Only lifecycle records get that far (the data ring is
/// left alone while anything waits): they must be read for the process table's sake, and a tracer that is
/// behind by this much loses them here, counted.
pub(super) const MAX_PENDING: usize = 16 << 20;

pub(super) struct Port {
    seat: Arc<Seat>,
    pub(super) outbox: Option<Outbox<RawBatch>>,
    cut: Cut,
    pending: VecDeque<RawBatch>,
    pending_bytes: usize,
    books: Books,
    /// Records below this position of the ring were taken by a predecessor.
    begins_at: u64,
}

/// What the kernel counted and what came out of the ring; the difference is still in it.
#[derive(Clone, Copy, Debug, Default)]
struct Books {
    /// What the account had seen before this object was loaded.
    base: u64,
    /// What the kernel had counted before this port was made.
    before: Count,
    /// What it has counted since.
    kernel: Count,
    taken: u64,
    /// Never got into the ring, `sampled` among them.
    lost: u64,
    sampled: u64,
    /// Dropped by filters in the kernel.
    filtered: u64,
    /// What never came and was booked as lost.
    written_off: u64,
}

impl Books {
    /// Out of the ring, or never in it.
    fn out(&self) -> u64 {
        self.taken + self.lost + self.filtered + self.written_off
    }
}

impl Port {
    /// At an object that was just loaded: its counters begin at 0. What the one before it had counted and not
    /// given out is lost.
    pub(super) fn new(seat: Arc<Seat>, now: BootNs) -> Self {
        let books = Books { base: seat.begin_anew(now), ..Books::default() };
        Self {
            seat,
            outbox: None,
            cut: Cut::default(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            books,
            begins_at: 0,
        }
    }

    /// At a ring that outlives the agent: goes on from a checkpoint, or where this process has got to already. The
    /// kernel has counted `kernel` since the ring was made.
    pub(super) fn resumed(seat: Arc<Seat>, from: Checkpoint, kernel: Count, since: (BootNs, BootNs)) -> Self {
        let account = &seat.account;
        if account.taken().is_none() {
            account.follow(from);
        }
        let (begins_at, taken) = account.taken().unwrap_or_default();
        // The same whichever sink looks.
        let told = account.snapshot(&SinkName::new("")).lost.ring;
        let base = from.base;
        account.lose(
            Place::Ring,
            base.saturating_sub(told),
            since,
            "the rings before these could not be gone on with",
        );
        let lost_here = told.saturating_sub(base);
        let lost = lost_here.min(kernel.kept_out());
        let written_off = lost_here - lost;
        // Those this process has booked before, of the same rings; a predecessor's are in the counter alone.
        let filtered = account.filtered_in_kernel();
        let sampled = kernel.sampled;
        let books = Books { base, taken, lost, sampled, filtered, written_off, ..Books::default() };
        seat.note_out(base + books.out());
        Self {
            seat,
            outbox: None,
            cut: Cut::default(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            books,
            begins_at,
        }
    }

    /// Where its first record begins that must stay in the ring, which is `ring`.
    pub(super) fn held_from(&self, ring: Ring) -> Option<u64> {
        if Ring::of(self.seat.tracer.kind) != ring {
            return None;
        }
        let held = self.seat.account.held_from();
        let cut = self.cut.starts_at().filter(|_| self.seat.account.taken().is_some());
        held.into_iter().chain(cut).min()
    }

    /// The store can't keep anything at present: the ring is not to wait for it.
    pub(super) fn let_go(&self) {
        self.seat.account.let_go();
    }

    /// At an object that is in use: what its counters say now (`before`) is not this port's.
    pub(super) fn later(seat: Arc<Seat>, now: BootNs, before: Count) -> Self {
        let mut port = Self::new(seat, now);
        port.books.before = before;
        port
    }

    /// It keeps these books.
    pub(super) fn is_at(&self, seat: &Arc<Seat>) -> bool {
        Arc::ptr_eq(&self.seat.account, &seat.account)
    }

    pub(super) fn tracer(&self) -> &'static Tracer {
        self.seat.tracer
    }

    /// Takes in one record of this tracer.
    pub(super) fn take(&mut self, record: &[u8], at: BootNs, stretch: Stretch) {
        if stretch.start < self.begins_at {
            return;
        }
        self.books.taken += 1;
        self.cut.push_from(stretch, record, at);
        if self.cut.is_full() {
            self.flush();
        }
    }

    /// Cuts the batch at hand and passes it on.
    pub(super) fn flush(&mut self) {
        self.tell_seen();
        let Some(mut batch) = self.cut.take(&self.seat.account) else { return };
        if self.outbox.is_none() {
            let count = batch.claim.count();
            batch.claim.lose(count, "the tracer was detached");
        } else if self.pending_bytes + batch.size() > MAX_PENDING {
            let count = batch.claim.count();
            batch.claim.lose(count, "the tracer's queue stayed full");
        } else {
            self.pending_bytes += batch.size();
            self.pending.push_back(batch);
            self.offer();
        }
    }

    /// Passes on what waits, as far as there is room.
    pub(super) fn offer(&mut self) {
        // A tracer that was given up reads no more: what is for it must not hold up the others.
        let Some(outbox) = self.outbox.as_ref().filter(|outbox| !outbox.is_closed()) else {
            return self.give_up_pending();
        };
        while let Some(batch) = self.pending.pop_front() {
            let size = batch.size();
            if let Err(batch) = outbox.offer(batch) {
                self.pending.push_front(batch);
                return;
            }
            self.pending_bytes -= size;
        }
    }

    /// Drops what waits: the claims book it as lost.
    fn give_up_pending(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
    }

    /// Whether something waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes over the kernel's counters; books what the ring lost between `span`.
    pub(super) fn count(&mut self, kernel: Count, span: (BootNs, BootNs)) {
        let kernel = kernel.since(self.books.before);
        self.books.kernel = kernel;
        self.tell_seen();
        let kept_out = kernel.kept_out().saturating_sub(self.books.lost);
        let sampled = kernel.sampled.saturating_sub(self.books.sampled).min(kept_out);
        self.books.lost += kept_out;
        self.books.sampled += sampled;
        self.seat.account.lose(Place::Ring, kept_out - sampled, span, "the ring was full");
        self.seat.account.lose(Place::Ring, sampled, span, SAMPLED);
        let filtered = kernel.filtered.saturating_sub(self.books.filtered);
        self.books.filtered += filtered;
        self.seat.account.filter_in_kernel(filtered);
        self.tell_seen();
    }

    /// Whether everything the kernel counted has come out of the ring or is booked as lost.
    pub(super) fn is_drained(&self) -> bool {
        self.books.kernel.seen <= self.books.out()
    }

    /// Books as lost what the kernel counted and never gave.
    pub(super) fn write_off(&mut self, span: (BootNs, BootNs), cause: &str) {
        let missing = self.books.kernel.seen.saturating_sub(self.books.out());
        self.books.written_off += missing;
        self.seat.account.lose(Place::Ring, missing, span, cause);
    }

    /// What filters dropped in the kernel.
    pub(super) fn filtered(&self) -> u64 {
        self.books.filtered
    }

    /// All records the kernel counted, over all objects that were loaded.
    pub(super) fn seen(&self) -> u64 {
        let books = &self.books;
        // What came out of the ring or was refused by it has been seen, even if the counter was read before.
        let kept_out = books.kernel.kept_out().max(books.lost) + books.kernel.filtered.max(books.filtered);
        books.base + books.kernel.seen.max(books.taken + books.written_off + kept_out)
    }

    fn tell_seen(&self) {
        self.seat.account.set_seen(self.seen());
        self.seat.note_out(self.books.base + self.books.out());
    }
}
