//! The actor around a sink: its queue, batches, retries, accounts. The same for all sinks.
//!
//! It runs on a thread of its own, where a sink may block. What it has taken off its queue is its claims' to answer
//! for: a panic while writing books it as lost in this sink; the queue outlives the actor.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use actors::clock::{self, Instant};
use actors::{Backoff, Exit, Link, Shutdown};
use flume::Receiver;
use model::{Accounts, Place, Routed, SinkName};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};

use super::{Book, Rejected, Sink, SinkError, Trouble};
use crate::loss::{self, Unwritten};

/// How often an idle sink says it is well, and the accounts are kept though no row came.
const TICK: Duration = Duration::from_secs(1);
/// Between tries of the same batch.
const BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(500), jitter: 0.2 };

/// What a sink shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkState {
    /// Rows written.
    pub rows: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Rows it had and could not write.
    pub lost: u64,
    /// Writes tried again.
    pub retries: u64,
    /// Batches that wait.
    pub queue: usize,
    /// Why it can't write at present.
    pub failing: Option<String>,
    /// Why it could not write for the first time.
    pub first_failure: Option<String>,
    /// How often it could write again.
    pub recoveries: u64,
}

/// Writes what waits, and answers when it is written or lost.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// When to write, and how patiently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// So many rows at once.
    pub(crate) batch: usize,
    /// Fewer after this time.
    pub(crate) flush_interval: Duration,
    /// How long a batch may be tried again.
    pub(crate) retry_for: Duration,
}

/// What all incarnations of one sink's actor share.
pub(crate) struct Fixture {
    pub(crate) name: SinkName,
    pub(crate) input: Receiver<Routed>,
    pub(crate) accounts: Accounts,
    pub(crate) pace: Pace,
    pub(crate) unwritten: Unwritten,
}

/// A sink's actor.
pub struct SinkActor<S: Sink + Unpin> {
    link: Link<SinkState>,
    fixture: Arc<Fixture>,
    sink: Option<S>,
    orders: Rc<Orders>,
}

/// What the mailbox tells the loop.
#[derive(Default)]
struct Orders {
    changed: Notify,
    stop: Cell<bool>,
    panic: Cell<bool>,
    flush: RefCell<Vec<oneshot::Sender<()>>>,
}

impl<S: Sink + Unpin> SinkActor<S> {
    pub(crate) fn new(link: Link<SinkState>, fixture: Arc<Fixture>, sink: S) -> Self {
        Self { link, fixture, sink: Some(sink), orders: Rc::default() }
    }
}

impl<S: Sink + Unpin> Actor for SinkActor<S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(sink) = self.sink.take() else { return };
        let writer = Writer {
            link: self.link.clone(),
            fixture: self.fixture.clone(),
            sink,
            hand: Vec::new(),
            rows: 0,
            due: None,
            books: Vec::new(),
            orders: self.orders.clone(),
        };
        ctx.spawn(writer.run().into_actor(self));
    }
}

impl<S: Sink + Unpin> Handler<Shutdown> for SinkActor<S> {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.orders.stop.set(true);
        self.orders.changed.notify_one();
    }
}

impl<S: Sink + Unpin> Handler<Flush> for SinkActor<S> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.orders.flush.borrow_mut().push(done);
        self.orders.changed.notify_one();
        Box::pin(async { drop(flushed.await) })
    }
}

#[cfg(feature = "fault-injection")]
impl<S: Sink + Unpin> Handler<crate::InjectPanic> for SinkActor<S> {
    type Result = ();

    fn handle(&mut self, _: crate::InjectPanic, _: &mut Self::Context) {
        self.orders.panic.set(true);
        self.orders.changed.notify_one();
    }
}

impl<S: Sink + Unpin> Drop for SinkActor<S> {
    fn drop(&mut self) {
        if self.orders.stop.get() {
            // Nobody comes after a sink that was told to stop: what it left behind is lost, and booked so here.
            while self.fixture.input.try_recv().is_ok() {}
        }
    }
}

/// The loop of one incarnation.
struct Writer<S> {
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
    async fn run(mut self) {
        if let Err(error) = self.check() {
            // With no room left it may still be there later; with no permission it will not.
            if error.trouble == Trouble::Permanent {
                return self.link.give_up(&error);
            }
            self.note_failure(&error);
        }
        let mut tick = clock::now() + TICK;
        while !self.orders.stop.get() {
            let wake = self.due.map_or(tick, |due| due.min(tick));
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

    fn check(&mut self) -> Result<(), SinkError> {
        let _zone = self.link.progress().zone("opening a sink");
        self.sink.check()
    }

    async fn step(&mut self, tick: &mut Instant) {
        let flushes = std::mem::take(&mut *self.orders.flush.borrow_mut());
        while self.rows < self.fixture.pace.batch || !flushes.is_empty() {
            let Ok(routed) = self.fixture.input.try_recv() else { break };
            self.take(routed);
            if self.rows >= self.fixture.pace.batch {
                self.write().await;
            }
        }
        let now = clock::now();
        if self.rows >= self.fixture.pace.batch
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
        let books = if self.sink.keeps_books() { self.books_after() } else { Vec::new() };
        let mut batches = std::mem::take(&mut self.hand);
        let losses = self.fixture.unwritten.rows();
        if !losses.is_empty() {
            batches.push(Routed { claim: None, rows: losses.into() });
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
                Ok(rejected) => return self.settle(batches, books, &rejected),
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

    fn settle(&mut self, mut batches: Vec<Routed>, books: Vec<Book>, rejected: &[Rejected]) {
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

    /// The accounts as they will be when what is in hand is written.
    fn books_after(&self) -> Vec<Book> {
        let accounts = self.fixture.accounts.all();
        let books = accounts.iter().map(|account| {
            let mut snapshot = account.snapshot(&self.fixture.name);
            let own = self.hand.iter().filter_map(|batch| batch.claim.as_ref());
            let own = own.filter(|claim| Arc::ptr_eq(claim.account(), account));
            snapshot.stored += own.map(model::SinkClaim::count).sum::<u64>();
            Book { tracer: account.tracer().clone(), snapshot }
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
        let gaps = loss::take_gaps(&self.fixture.accounts);
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
