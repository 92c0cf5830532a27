//! The conservation law as a data type: `seen = stored + filtered + lost{ring, decode, queue, sink}`.
//!
//! The holder of a batch of records also holds a [`Claim`] on their tracer's [`Account`]. A claim knows how many of its
//! records are not settled yet and where they are ([`LossPoint`]). Settling moves records from the claim to a counter
//! of the account; dropping a claim counts the rest as lost at that point and notes a [`Gap`], which becomes a `loss`
//! row. So a panic, a stopped actor or an early return cannot make records vanish uncounted. When records are routed,
//! the claim is replaced by one [`SinkClaim`] for each sink, because each sink stores or loses its rows on its own.
//!
//! ```text
//!  kernel or child        collector                         sinks
//!  ───────────────▶ Claim ───────────▶ route() ──┬─▶ SinkClaim ─▶ store()
//!   seen += n         │                          └─▶ SinkClaim ─▶ store()
//!                     ├─ filter()    filtered          │
//!                     └─ lose(),     lost.decode       └─ lose(),   lost.queue
//!                        dropped     lost.queue           dropped   lost.sink
//! ```
//!
//! `lost.ring` has no claim: the kernel counts records that did not fit into its ring.

mod follow;
mod rings;
mod sinks;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

pub use rings::Pinned;
use rings::Rings;

use crate::lock::{lock, read};
use crate::losses::{Gap, Losses, Owner};
use crate::offsets::{OffsetRange, OffsetTracker, Outcomes};
use crate::snapshot::{AccountSnapshot, LossPoint, Lost};
use crate::{BootNs, Role, SinkId, SinkName, TracerName};

/// Counts what became of one tracer's records. Counters only ever grow, with one exception: rows whose output was
/// removed ([`Accounts::unstore`]) move from `stored` to `lost`.
#[derive(Debug)]
pub struct Account {
    tracer: TracerName,
    seen: AtomicU64,
    filtered: AtomicU64,
    /// The part of `filtered` that never left the kernel.
    filtered_in_kernel: AtomicU64,
    lost: [AtomicU64; 4],
    /// Records handed over to the sinks present at that time.
    routed: AtomicU64,
    sinks: RwLock<Vec<Arc<SinkAccount>>>,
    gaps: Mutex<Losses<BootNs>>,
    /// Ranges of the ring and their settlement; only for a tracer with a ring that outlives the agent.
    track: Mutex<Option<OffsetTracker>>,
}

/// Counts what one sink did with one tracer's rows.
#[derive(Debug)]
pub struct SinkAccount {
    id: SinkId,
    stored: AtomicU64,
    lost_queue: AtomicU64,
    lost_sink: AtomicU64,
    /// The account's settled counts when the sink joined.
    before: AccountSnapshot,
    /// The account's settled counts when the sink left.
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

    /// Returns the tracer whose records are counted.
    pub fn tracer(&self) -> &TracerName {
        &self.tracer
    }

    /// Sets `seen` to the kernel's own count, which only grows; ignores a smaller one.
    pub fn set_seen(&self, kernel_count: u64) {
        self.seen.fetch_max(kernel_count, Relaxed);
    }

    /// Counts `count` records as seen; for tracers whose records the kernel does not count.
    pub fn add_seen(&self, count: u64) {
        self.seen.fetch_add(count, Relaxed);
    }

    /// Counts `count` records as filtered in the kernel, which has counted them as seen: no claim is held on them.
    pub fn filter_in_kernel(&self, count: u64) {
        self.filtered_in_kernel.fetch_add(count, Relaxed);
        self.filtered.fetch_add(count, Relaxed);
    }

    /// Returns the number of records filtered in the kernel.
    pub fn filtered_in_kernel(&self) -> u64 {
        self.filtered_in_kernel.load(Relaxed)
    }

    /// Counts `count` records of unknown owner as lost at `point`, and notes the gap.
    pub fn lose(&self, point: LossPoint, count: u64, span: (BootNs, BootNs), cause: &str) {
        self.lose_of(Owner::Unknown, point, count, span, cause);
    }

    /// Counts `count` records of this owner as lost at `point`, and notes the gap. See [`Losses`] for gaps of many owners.
    pub fn lose_of(&self, owner: Owner, point: LossPoint, count: u64, span: (BootNs, BootNs), cause: &str) {
        if count > 0 {
            self.lost[point as usize].fetch_add(count, Relaxed);
            self.note_gap(owner, point, None, count, span, cause);
        }
    }

    /// Notes a gap whose records are counted already, or are of an unknown number (0).
    pub fn restore_gap(&self, gap: Gap) {
        lock(&self.gaps).add(gap);
    }

    /// Takes the gaps noted since the last call; each is to become a `loss` row.
    pub fn take_gaps(&self) -> Vec<Gap> {
        lock(&self.gaps).take()
    }

    fn note_gap(
        &self,
        owner: Owner,
        point: LossPoint,
        sink: Option<SinkName>,
        count: u64,
        span: (BootNs, BootNs),
        cause: &str,
    ) {
        let (tracer, cause, (from, to)) = (self.tracer.clone(), cause.to_owned(), span);
        lock(&self.gaps).add(Gap { tracer, point, sink, cause, owner, count, from, to });
    }
}

/// The accounts of all tracers of a run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    sinks: Arc<RwLock<Vec<SinkId>>>,
    /// Generations given to sinks so far.
    generations: Arc<AtomicU32>,
    accounts: Arc<Mutex<BTreeMap<TracerName, Arc<Account>>>>,
    rings: Arc<Rings>,
}

impl Accounts {
    /// Creates accounts for any number of tracers, each with these sinks; none of them is the store.
    pub fn new(sinks: &[SinkName]) -> Self {
        let accounts = Self::default();
        sinks.iter().for_each(|name| accounts.join(&accounts.new_sink_id(name, Role::Copy)));
        accounts
    }

    /// Returns the tracer's account, which the first call opens.
    pub fn of(&self, tracer: &TracerName) -> Arc<Account> {
        let mut accounts = lock(&self.accounts);
        accounts
            .entry(tracer.clone())
            .or_insert_with(|| Arc::new(Account::new(tracer.clone(), &read(&self.sinks))))
            .clone()
    }

    /// Returns all accounts, ordered by tracer.
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
    /// Number of the range of a followed ring that the records are from.
    segment: Option<u64>,
}

impl Claim {
    /// Creates a claim on records that `seen` already counts (the kernel's own count).
    pub fn on_counted(account: Arc<Account>, count: u64, span: (BootNs, BootNs)) -> Self {
        Self { account, count, point: LossPoint::Queue, span, segment: None }
    }

    /// Creates such a claim on all of this tracer's records in a range of its ring. Claims must be made in ring order.
    pub fn on_range(account: Arc<Account>, count: u64, span: (BootNs, BootNs), range: OffsetRange) -> Self {
        let segment = lock(&account.track).as_mut().map(|track| track.open(range, count));
        Self { account, count, point: LossPoint::Queue, span, segment }
    }

    /// Creates a claim on new records and counts them as seen.
    pub fn on_new(account: Arc<Account>, count: u64, span: (BootNs, BootNs)) -> Self {
        account.add_seen(count);
        Self::on_counted(account, count, span)
    }

    /// Returns the account that the claim is on.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Returns how many of them are not settled yet.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the times of the first and the last record.
    pub fn span(&self) -> (BootNs, BootNs) {
        self.span
    }

    /// Sets where the records are now, which is where they are lost if this claim is dropped.
    pub fn enter(&mut self, point: LossPoint) {
        self.point = point;
    }

    /// Counts `count` of them as lost at the current [`LossPoint`].
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

    /// Counts `count` of the records as filtered.
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

    /// Replaces the claim on the remaining records by one for each sink, in the order of [`Account::sinks`].
    pub fn route(mut self) -> Vec<SinkClaim> {
        let count = std::mem::take(&mut self.count);
        self.account.routed.fetch_add(count, Relaxed);
        let sinks = self.account.sinks();
        let claims = sinks.iter().map(|sink| SinkClaim {
            account: self.account.clone(),
            sink: sink.clone(),
            count,
            point: LossPoint::Queue,
            span: self.span,
            // Only the store settles the ring's ranges.
            segment: self.segment.filter(|_| sink.id.role == Role::Store),
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
    /// Returns the tracer's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Returns the sink that the rows are for.
    pub fn sink(&self) -> &SinkId {
        &self.sink.id
    }

    /// Returns how many of them are not settled yet.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sets where the rows are now, which is where they are lost if this claim is dropped.
    pub fn enter(&mut self, point: LossPoint) {
        self.point = point;
    }

    /// Marks the remaining rows as being stored, so that the next [`Account::checkpoint`] counts them as stored.
    pub fn mark_writing(&self) {
        if let (Some(number), true) = (self.segment, self.count > 0) {
            self.account.with_track(|track| track.mark_writing(number, self.count));
        }
    }

    /// Counts `count` of the rows as stored.
    pub fn store(&mut self, count: u64) {
        let count = count.min(self.count);
        self.count -= count;
        self.sink.stored.fetch_add(count, Relaxed);
        let more = Outcomes { stored: count, ..Outcomes::default() };
        self.account.settle(self.segment, more, self.count == 0);
    }

    /// Counts `count` of them as lost at the current [`LossPoint`].
    pub fn lose(&mut self, count: u64, cause: &str) {
        let count = count.min(self.count);
        if count == 0 {
            return;
        }
        self.count -= count;
        let lost = if self.point == LossPoint::Sink { &self.sink.lost_sink } else { &self.sink.lost_queue };
        lost.fetch_add(count, Relaxed);
        let sink = Some(self.sink.id.name.clone());
        self.account.note_gap(Owner::Unknown, self.point, sink, count, self.span, cause);
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

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: (BootNs, BootNs) = (BootNs(10), BootNs(20));

    fn account_of_open() -> (Accounts, Arc<Account>, SinkName) {
        let sink = SinkName::new("memory");
        let accounts = Accounts::new(std::slice::from_ref(&sink));
        let account = accounts.of(&"open".into());
        (accounts, account, sink)
    }

    #[test]
    fn the_counts_of_a_claim_settled_in_steps_add_up() {
        let (_, account, sink) = account_of_open();
        let mut claim = Claim::on_new(account.clone(), 10, SPAN);
        claim.filter(3);
        claim.enter(LossPoint::Decode);
        claim.lose(1, "short record");
        let mut rows = claim.route();
        rows[0].store(5);
        drop(rows);
        let snapshot = account.snapshot(&sink);
        assert_eq!((snapshot.seen, snapshot.stored, snapshot.filtered), (10, 5, 3));
        assert_eq!(snapshot.lost, Lost { decode: 1, queue: 1, ..Lost::default() });
        assert_eq!(snapshot.in_flight(), 0);
    }

    #[test]
    fn a_dropped_claim_is_a_loss_with_a_gap() {
        let (_, account, sink) = account_of_open();
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
        let (_, account, sink) = account_of_open();
        let mut claim = Claim::on_new(account.clone(), 2, SPAN);
        claim.filter(5);
        claim.lose(1, "never");
        drop(claim);
        assert_eq!(account.snapshot(&sink).filtered, 2);
        assert_eq!(account.snapshot(&sink).in_flight(), 0);
    }
}
