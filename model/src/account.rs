//! The conservation law as a data type: `seen = stored + filtered + lost{ring, decode, queue, sink}`.
//!
//! Whoever holds records holds a [`Claim`] on their tracer's [`Account`]. A claim that is dropped before its
//! records were settled books them as lost at the place they were in: a panic, a stopped actor, an early
//! return can't make records vanish unaccounted.

mod follow;
mod sinks;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

pub use follow::Pinned;
use follow::SharedLine;
use sinks::read;

use crate::offsets::{OffsetRange, OffsetTracker, Outcomes};
use crate::snapshot::{AccountSnapshot, Gap, LossPoint, Lost, SAMPLED};
use crate::{BootNs, SinkId, SinkName, TracerName};

type GapKey = (LossPoint, Option<SinkName>, bool);

/// One tracer's books. Counters only ever grow.
#[derive(Debug)]
pub struct Account {
    tracer: TracerName,
    seen: AtomicU64,
    filtered: AtomicU64,
    /// Those of them that never left the kernel.
    filtered_in_kernel: AtomicU64,
    lost: [AtomicU64; 4],
    /// Records handed over to the sinks that were there.
    routed: AtomicU64,
    sinks: RwLock<Vec<Arc<SinkAccount>>>,
    gaps: Mutex<BTreeMap<GapKey, Gap>>,
    /// Of a tracer whose ring outlives the agent.
    track: Mutex<Option<OffsetTracker>>,
}

/// One tracer's books with one sink.
#[derive(Debug)]
pub struct SinkAccount {
    id: SinkId,
    stored: AtomicU64,
    lost_queue: AtomicU64,
    lost_sink: AtomicU64,
    /// What was settled when it joined.
    before: AccountSnapshot,
    /// What was settled when it left.
    after: OnceLock<AccountSnapshot>,
}

impl Account {
    fn new(tracer: TracerName, sinks: &[SinkId]) -> Self {
        let sinks =
            sinks.iter().map(|sink| Arc::new(SinkAccount::new(sink.clone(), AccountSnapshot::default())));
        Self {
            tracer,
            seen: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            filtered_in_kernel: AtomicU64::new(0),
            lost: Default::default(),
            routed: AtomicU64::new(0),
            sinks: RwLock::new(sinks.collect()),
            gaps: Mutex::default(),
            track: Mutex::default(),
        }
    }

    /// Whose books.
    pub fn tracer(&self) -> &TracerName {
        &self.tracer
    }

    /// Takes over the kernel's own count, which only grows; a smaller one is ignored.
    pub fn set_seen(&self, kernel_count: u64) {
        self.seen.fetch_max(kernel_count, Relaxed);
    }

    /// Books `count` records as seen; for tracers whose records are counted where they are made.
    pub fn add_seen(&self, count: u64) {
        self.seen.fetch_add(count, Relaxed);
    }

    /// Books `count` records as dropped on purpose where they were counted as seen: no claim is held on them.
    pub fn filter_in_kernel(&self, count: u64) {
        self.filtered_in_kernel.fetch_add(count, Relaxed);
        self.filtered.fetch_add(count, Relaxed);
    }

    /// Records booked so.
    pub fn filtered_in_kernel(&self) -> u64 {
        self.filtered_in_kernel.load(Relaxed)
    }

    /// Books `count` records as lost at `place`, and notes the gap.
    pub fn lose(&self, point: LossPoint, count: u64, span: (BootNs, BootNs), cause: &str) {
        if count > 0 {
            self.lost[point as usize].fetch_add(count, Relaxed);
            self.note_gap(point, None, count, span, cause);
        }
    }

    /// Puts back a gap whose `loss` row could not be stored: it is noted again, not counted again.
    pub fn restore_gap(&self, gap: Gap) {
        self.note_gap(gap.point, gap.sink, gap.count, (gap.from, gap.to), &gap.cause);
    }

    /// Takes the gaps noted since the last call; each is to become a `loss` row.
    pub fn take_gaps(&self) -> Vec<Gap> {
        std::mem::take(&mut *lock(&self.gaps)).into_values().collect()
    }

    fn note_gap(
        &self,
        point: LossPoint,
        sink: Option<SinkName>,
        count: u64,
        span: (BootNs, BootNs),
        cause: &str,
    ) {
        let mut gaps = lock(&self.gaps);
        // What was left out on purpose is not to hide among what was lost for want of room.
        let key = (point, sink.clone(), cause == SAMPLED);
        let gap = gaps.entry(key).or_insert_with(|| Gap {
            tracer: self.tracer.clone(),
            point,
            sink,
            cause: cause.to_owned(),
            count: 0,
            from: span.0,
            to: span.1,
        });
        gap.count += count;
        gap.from = gap.from.min(span.0);
        gap.to = gap.to.max(span.1);
    }
}

/// All books of a run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts {
    sinks: Arc<RwLock<Vec<SinkId>>>,
    /// Identities given to sinks.
    generations: Arc<AtomicU32>,
    accounts: Arc<Mutex<BTreeMap<TracerName, Arc<Account>>>>,
    line: SharedLine,
}

impl Accounts {
    /// Books for any number of tracers, each with these sinks.
    pub fn new(sinks: &[SinkName]) -> Self {
        let ids = sinks.iter().map(|name| SinkId { name: name.clone(), generation: 0 }).collect();
        let sinks = Arc::new(RwLock::new(ids));
        Self { sinks, generations: Arc::default(), accounts: Arc::default(), line: Arc::default() }
    }

    /// The tracer's books, opened at the first call.
    pub fn of(&self, tracer: &TracerName) -> Arc<Account> {
        let mut accounts = lock(&self.accounts);
        accounts
            .entry(tracer.clone())
            .or_insert_with(|| Arc::new(Account::new(tracer.clone(), &read(&self.sinks))))
            .clone()
    }

    /// All books, by tracer.
    pub fn all(&self) -> Vec<Arc<Account>> {
        lock(&self.accounts).values().cloned().collect()
    }
}

/// Responsibility for `count` records on their way to the collector.
#[derive(Debug)]
pub struct Claim {
    account: Arc<Account>,
    count: u64,
    point: LossPoint,
    span: (BootNs, BootNs),
    /// The stretch of a followed ring they are from.
    segment: Option<u64>,
}

impl Claim {
    /// A claim on records that `seen` already counts (the kernel's own count).
    pub fn on_counted(account: Arc<Account>, count: u64, span: (BootNs, BootNs)) -> Self {
        Self { account, count, point: LossPoint::Queue, span, segment: None }
    }

    /// The same, on all of this tracer's records in a stretch of its ring; claims are made in ring order.
    pub fn on_range(account: Arc<Account>, count: u64, span: (BootNs, BootNs), range: OffsetRange) -> Self {
        let segment = lock(&account.track).as_mut().map(|track| track.open(range, count));
        Self { account, count, point: LossPoint::Queue, span, segment }
    }

    /// A claim on records made just now: they are booked as seen.
    pub fn on_new(account: Arc<Account>, count: u64, span: (BootNs, BootNs)) -> Self {
        account.add_seen(count);
        Self::on_counted(account, count, span)
    }

    /// The books.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How many are open.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// First and last moment of the records.
    pub fn span(&self) -> (BootNs, BootNs) {
        self.span
    }

    /// Says where the records are now: where they are lost if this claim is dropped.
    pub fn enter(&mut self, point: LossPoint) {
        self.point = point;
    }

    /// Books `count` of them as lost where they are.
    pub fn lose(&mut self, count: u64, cause: &str) {
        let count = count.min(self.count);
        if count == 0 {
            return;
        }
        self.count -= count;
        self.account.lose(self.point, count, self.span, cause);
        let more = Outcomes { lost: lost_at(self.point, count), ..Outcomes::default() };
        self.account.settle(self.segment, more, self.count == 0);
    }

    /// Books `count` of them as filtered.
    pub fn filter(&mut self, count: u64) {
        let count = count.min(self.count);
        if count == 0 {
            return;
        }
        self.count -= count;
        self.account.filtered.fetch_add(count, Relaxed);
        let more = Outcomes { filtered: count, ..Outcomes::default() };
        self.account.settle(self.segment, more, self.count == 0);
    }

    /// Hands the rest over to the sinks: one claim each, in the account's order.
    pub fn route(mut self) -> Vec<SinkClaim> {
        let count = std::mem::take(&mut self.count);
        self.account.routed.fetch_add(count, Relaxed);
        let sinks = self.account.sinks();
        let claims = sinks.iter().enumerate().map(|(index, sink)| SinkClaim {
            account: self.account.clone(),
            sink: sink.clone(),
            count,
            point: LossPoint::Queue,
            span: self.span,
            // How far a ring is settled is the store's to decide.
            segment: self.segment.filter(|_| index == 0),
        });
        claims.collect()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let count = self.count;
        self.lose(count, dropped_because());
    }
}

/// Responsibility for `count` rows on their way into one sink.
#[derive(Debug)]
pub struct SinkClaim {
    account: Arc<Account>,
    sink: Arc<SinkAccount>,
    count: u64,
    point: LossPoint,
    span: (BootNs, BootNs),
    segment: Option<u64>,
}

impl SinkClaim {
    /// The tracer's books.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The sink.
    pub fn sink(&self) -> &SinkId {
        &self.sink.id
    }

    /// How many are open.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Says where the rows are now: where they are lost if this claim is dropped.
    pub fn enter(&mut self, point: LossPoint) {
        self.point = point;
    }

    /// Says that the rest is being stored just now, for [`Account::checkpoint`].
    pub fn mark_writing(&self) {
        if let (Some(number), true) = (self.segment, self.count > 0) {
            self.account.with_track(|track| track.mark_writing(number, self.count));
        }
    }

    /// Books `count` of them as stored.
    pub fn store(&mut self, count: u64) {
        let count = count.min(self.count);
        self.count -= count;
        self.sink.stored.fetch_add(count, Relaxed);
        let more = Outcomes { stored: count, ..Outcomes::default() };
        self.account.settle(self.segment, more, self.count == 0);
    }

    /// Books `count` of them as lost where they are.
    pub fn lose(&mut self, count: u64, cause: &str) {
        let count = count.min(self.count);
        if count == 0 {
            return;
        }
        self.count -= count;
        let lost = if self.point == LossPoint::Sink { &self.sink.lost_sink } else { &self.sink.lost_queue };
        lost.fetch_add(count, Relaxed);
        self.account.note_gap(self.point, Some(self.sink.id.name.clone()), count, self.span, cause);
        let more = Outcomes { lost: lost_at(self.point, count), ..Outcomes::default() };
        self.account.settle(self.segment, more, self.count == 0);
    }
}

impl Drop for SinkClaim {
    fn drop(&mut self) {
        let count = self.count;
        self.lose(count, dropped_because());
    }
}

fn lost_at(point: LossPoint, count: u64) -> Lost {
    let mut lost = Lost::default();
    match point {
        LossPoint::Ring => lost.ring = count,
        LossPoint::Decode => lost.decode = count,
        LossPoint::Queue => lost.queue = count,
        LossPoint::Sink => lost.sink = count,
    }
    lost
}

fn dropped_because() -> &'static str {
    if std::thread::panicking() {
        "the actor that held them panicked"
    } else {
        "the actor that held them ended"
    }
}

/// Counters stay usable after a panic elsewhere: each update is a whole step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: (BootNs, BootNs) = (BootNs(10), BootNs(20));

    fn books() -> (Accounts, Arc<Account>, SinkName) {
        let sink = SinkName::new("memory");
        let accounts = Accounts::new(std::slice::from_ref(&sink));
        let account = accounts.of(&"open".into());
        (accounts, account, sink)
    }

    #[test]
    fn a_claim_settled_step_by_step_balances() {
        let (_, account, sink) = books();
        let mut claim = Claim::on_new(account.clone(), 10, SPAN);
        claim.filter(3);
        claim.enter(LossPoint::Decode);
        claim.lose(1, "short record");
        let mut rows = claim.route();
        rows[0].store(5);
        drop(rows);
        let books = account.snapshot(&sink);
        assert_eq!((books.seen, books.stored, books.filtered), (10, 5, 3));
        assert_eq!(books.lost, Lost { decode: 1, queue: 1, ..Lost::default() });
        assert_eq!(books.in_flight(), 0);
    }

    #[test]
    fn a_dropped_claim_is_a_loss_with_a_gap() {
        let (_, account, sink) = books();
        account.set_seen(4);
        let mut claim = Claim::on_counted(account.clone(), 4, SPAN);
        claim.enter(LossPoint::Decode);
        let thread = std::thread::spawn(move || {
            let _claim = claim;
            panic!("in a tracer");
        });
        assert!(thread.join().is_err());
        assert_eq!(account.snapshot(&sink).lost.decode, 4);
        let gaps = account.take_gaps();
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].count, gaps[0].from, gaps[0].to), (4, SPAN.0, SPAN.1));
        assert_eq!(gaps[0].cause, "the actor that held them panicked");
        assert!(account.take_gaps().is_empty());
    }

    #[test]
    fn nothing_can_be_settled_twice() {
        let (_, account, sink) = books();
        let mut claim = Claim::on_new(account.clone(), 2, SPAN);
        claim.filter(5);
        claim.lose(1, "never");
        drop(claim);
        assert_eq!(account.snapshot(&sink).filtered, 2);
        assert_eq!(account.snapshot(&sink).in_flight(), 0);
    }
}
