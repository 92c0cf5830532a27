//! The loop of a sink's actor: takes rows off its queue, writes them in batches, tries again, books what became of
//! them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Backoff, Exit, Link};
use model::{Place, Routed, TracerName};
use tokio::sync::oneshot;

use super::{Fixture, Orders, SinkState};
use crate::loss;
use crate::sink::{Book, Mark, Rejected, Sink, SinkError, Trouble};

/// How often an idle sink says it is well, and the accounts are kept though no row came.
const TICK: Duration = Duration::from_secs(1);
/// How often a sink that something waits for is asked whether a ring fills up behind it.
const PRESSURE_LOOK: Duration = Duration::from_millis(20);
/// Between tries of the same batch.
const BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(500), jitter: 0.2 };

/// The loop of one incarnation.
pub(super) struct Writer<S> {
    link: Link<SinkState>,
    fixture: Arc<Fixture>,
    sink: S,
    /// Taken off the queue and not written yet.
    hand: Vec<Routed>,
    rows: usize,
    due: Option<Instant>,
    /// The accounts as they were kept last.
    books: Vec<Book>,
    orders: Rc<Orders>,
}

impl<S: Sink> Writer<S> {
    pub(super) fn new(link: Link<SinkState>, fixture: Arc<Fixture>, sink: S, orders: Rc<Orders>) -> Self {
        Self { link, fixture, sink, hand: Vec::new(), rows: 0, due: None, books: Vec::new(), orders }
    }

    pub(super) async fn run(mut self) {
        self.until_free().await;
        if let Err(error) = self.check() {
            // With no room left it may still be there later; with no permission it will not.
            if error.trouble == Trouble::Permanent {
                return self.link.give_up(&error);
            }
            self.note_failure(&error);
        }
        let mut tick = clock::now() + TICK;
        while !self.orders.stop.get() {
            let wake = self.wake_at(tick);
            tokio::select! {
                biased;
                () = self.orders.changed.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
                routed = self.fixture.input.recv_async() => match routed {
                    Ok(routed) => self.take(routed),
                    Err(_) => break,
                },
            }
            self.panic_if_told();
            self.step(&mut tick).await;
            self.link.progress().mark();
            // The queue may never be empty; the mailbox must be looked at all the same.
            tokio::task::yield_now().await;
        }
        self.close().await;
    }

    /// When there is something to do though nothing comes.
    fn wake_at(&self, tick: Instant) -> Instant {
        let due = self.due.map_or(tick, |due| due.min(tick));
        // A ring that waits for the store may fill up long before the next flush is due.
        let waits = self.due.is_some() && self.sink.keeps_books() && self.fixture.accounts.pinned().is_some();
        if waits { due.min(clock::now() + PRESSURE_LOOK) } else { due }
    }

    /// Much of a ring waits for this sink.
    fn is_pressed(&self) -> bool {
        self.sink.keeps_books() && self.fixture.accounts.relieve()
    }

    /// Waits until nobody else writes where it will.
    async fn until_free(&self) {
        let mut free = self.fixture.free.clone();
        while !*free.borrow_and_update() {
            self.link.progress().mark();
            tokio::select! {
                // Whoever was to say so is gone.
                done = free.changed() => if done.is_err() { return },
                () = clock::sleep(TICK) => {}
            }
        }
    }

    fn check(&mut self) -> Result<(), SinkError> {
        let _zone = self.link.progress().zone("opening a sink");
        self.sink.check()
    }

    async fn step(&mut self, tick: &mut Instant) {
        let flushes = std::mem::take(&mut *self.orders.flush.borrow_mut());
        while self.rows < self.fixture.pace.batch || !flushes.is_empty() {
            let Ok(routed) = self.fixture.input.try_recv() else { break };
            self.take(routed);
            if self.rows >= self.fixture.pace.batch || self.is_pressed() {
                self.write().await;
            }
        }
        let now = clock::now();
        if self.rows >= self.fixture.pace.batch
            || (self.due.is_some() && self.is_pressed())
            || self.due.is_some_and(|due| due <= now)
            || !flushes.is_empty()
        {
            self.write().await;
        }
        answer(flushes);
        if *tick <= now {
            *tick = now + TICK;
            self.idle_write().await;
            let queue = self.fixture.input.len();
            self.link.update(|state| state.queue = queue);
        }
    }

    /// Keeps accounts that changed though no row came (all were filtered), and `loss` rows that still wait.
    async fn idle_write(&mut self) {
        let waiting = !self.fixture.unwritten.rows().is_empty();
        let changed = self.sink.keeps_books() && self.hand.is_empty() && self.books_after() != self.books;
        if waiting || changed {
            self.write().await;
        }
    }

    fn take(&mut self, mut routed: Routed) {
        let Some(claim) = &mut routed.claim else {
            // The agent's own rows have no claim; so that they outlive a panic they wait outside.
            self.fixture.unwritten.add(&routed.rows);
            self.due.get_or_insert_with(|| clock::now() + self.fixture.pace.flush_interval);
            return;
        };
        claim.enter(Place::Sink);
        self.due.get_or_insert_with(|| clock::now() + self.fixture.pace.flush_interval);
        self.rows += routed.rows.len();
        self.hand.push(routed);
    }

    /// Writes what is in hand. Afterwards nothing is: it is stored, or lost and counted.
    async fn write(&mut self) {
        self.due = None;
        self.rows = 0;
        let books = if self.sink.keeps_books() { self.promise() } else { Vec::new() };
        let mut batches = std::mem::take(&mut self.hand);
        let (losses, told) = (self.fixture.unwritten.rows(), self.fixture.unwritten.told());
        if !losses.is_empty() {
            batches.push(Routed { claim: None, rows: losses.into() });
        }
        if batches.is_empty() && books.is_empty() {
            // To write nothing says nothing of whether it could.
            return;
        }
        let patience =
            if self.link.read().failing.is_some() { Duration::ZERO } else { self.fixture.pace.retry_for };
        let give_up_at = clock::now() + patience;
        let mut retry = 0;
        let error = loop {
            let written = {
                let _zone = self.link.progress().zone("writing to a sink");
                self.sink.write(&batches, &books)
            };
            let error = match written {
                Ok(rejected) => return self.settle(batches, books, &rejected, &told),
                Err(error) => error,
            };
            let delay = BACKOFF.delay(retry, 0.5);
            let hopeless = error.trouble != Trouble::Transient || clock::now() + delay > give_up_at;
            if hopeless || self.orders.stop.get() {
                break error;
            }
            retry += 1;
            self.link.update(|state| state.retries += 1);
            clock::sleep(delay).await;
            self.panic_if_told();
        };
        self.note_failure(&error);
        self.lose(batches, &error.to_string());
    }

    fn settle(
        &mut self,
        mut batches: Vec<Routed>,
        books: Vec<Book>,
        rejected: &[Rejected],
        told: &BTreeMap<TracerName, u64>,
    ) {
        let mut lost = 0;
        for bad in rejected {
            let claim = batches.get_mut(bad.batch).and_then(|batch| batch.claim.as_mut());
            if let Some(claim) = claim {
                claim.lose(bad.rows, &bad.cause);
                lost += bad.rows;
            }
            tracing::warn!(
                sink = self.fixture.name.as_str(),
                rows = bad.rows,
                cause = bad.cause,
                "rows refused"
            );
        }
        let mut rows = 0;
        for batch in &mut batches {
            match &mut batch.claim {
                Some(claim) => {
                    rows += claim.count();
                    claim.store(claim.count());
                }
                None => self.fixture.unwritten.clear(),
            }
        }
        self.release(&books, told);
        // Rows that were refused were promised in these accounts; they are put right at the next write.
        self.books = books;
        let recovered = self.link.read().failing;
        if let Some(cause) = &recovered {
            tracing::info!(sink = self.fixture.name.as_str(), cause, "sink writes again");
        }
        self.link.update(|state| {
            state.rows += rows;
            state.lost += lost;
            state.writes += 1;
            state.recoveries += u64::from(recovered.is_some());
            state.failing = None;
        });
    }

    fn lose(&self, batches: Vec<Routed>, cause: &str) {
        let mut lost = 0;
        for mut batch in batches {
            if let Some(claim) = &mut batch.claim {
                lost += claim.count();
                claim.lose(claim.count(), cause);
            }
        }
        self.link.update(|state| state.lost += lost);
        if self.sink.keeps_books() {
            self.fixture.accounts.set_store_down(true);
        }
    }

    /// What was written may leave the rings it is from.
    fn release(&self, books: &[Book], told: &BTreeMap<TracerName, u64>) {
        if !self.sink.keeps_books() {
            return;
        }
        self.fixture.accounts.set_store_down(false);
        for book in books {
            if let Some(mark) = &book.mark {
                let told = told.get(&book.tracer).copied().unwrap_or(0);
                self.fixture.accounts.of(&book.tracer).committed(&mark.point, told);
            }
        }
    }

    fn note_failure(&self, error: &SinkError) {
        let cause = error.to_string();
        if self.link.read().failing.is_none() {
            let trouble = error.trouble.to_string();
            tracing::error!(
                sink = self.fixture.name.as_str(),
                cause,
                trouble,
                "sink can't write; rows are lost"
            );
        }
        self.link.update(|state| {
            state.first_failure.get_or_insert_with(|| cause.clone());
            state.failing = Some(cause);
        });
    }

    /// The accounts as they will be when what is in hand is written, which is about to happen.
    fn promise(&self) -> Vec<Book> {
        self.hand.iter().filter_map(|batch| batch.claim.as_ref()).for_each(model::SinkClaim::promise);
        self.books_after()
    }

    /// The accounts as they will be when what is in hand is written.
    fn books_after(&self) -> Vec<Book> {
        let accounts = self.fixture.accounts.all();
        let (pinned, told) = (self.fixture.accounts.pinned(), self.fixture.unwritten.told());
        let books = accounts.iter().map(|account| {
            let mut snapshot = account.snapshot_of(&self.fixture.id);
            let own = self.hand.iter().filter_map(|batch| batch.claim.as_ref());
            let own = own.filter(|claim| Arc::ptr_eq(claim.account(), account));
            snapshot.stored += own.map(model::SinkClaim::count).sum::<u64>();
            let told = told.get(account.tracer()).copied().unwrap_or(0);
            let mark = pinned.clone().zip(account.checkpoint(told));
            let mark = mark.map(|(pinned, point)| Mark { pinned, point });
            Book { tracer: account.tracer().clone(), snapshot, mark }
        });
        books.collect()
    }

    /// Everybody before this sink has ended: writes what still waits, then the final accounts.
    async fn close(mut self) {
        while let Ok(routed) = self.fixture.input.try_recv() {
            self.take(routed);
            if self.rows >= self.fixture.pace.batch {
                self.write().await;
            }
        }
        self.write_if_any().await;
        // Rows lost just now leave a gap that the collector, which has ended, will not come for.
        let leaving = self.fixture.leaving.load(Relaxed);
        let gaps = if leaving { Vec::new() } else { loss::take_gaps(&self.fixture.accounts) };
        let clock = clock::boot_clock();
        let rows: Vec<_> = gaps.iter().map(|gap| loss::row(gap, clock)).collect();
        self.fixture.unwritten.add(&rows);
        self.write_if_any().await;
        let books = self.books_after();
        let closed = {
            let _zone = self.link.progress().zone("closing a sink");
            self.sink.close(&books, clock::wall())
        };
        if let Err(error) = closed {
            self.note_failure(&error);
        }
        answer(self.orders.flush.take());
        self.link.update(|state| state.queue = 0);
        self.link.end(Exit::Stopped);
    }

    async fn write_if_any(&mut self) {
        if !self.hand.is_empty() || !self.fixture.unwritten.rows().is_empty() {
            self.write().await;
        }
    }

    fn panic_if_told(&self) {
        if self.orders.panic.get() {
            panic!("as told");
        }
    }
}

fn answer(flushes: Vec<oneshot::Sender<()>>) {
    for flushed in flushes {
        // Whoever asked may have gone.
        let _ = flushed.send(());
    }
}
