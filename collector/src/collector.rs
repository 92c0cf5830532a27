//! The actor in the middle: batches of records in, rows to every sink out.
//!
//! A panic costs the batch in hand, booked by its claim; the queue outlives it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture};
use actors::clock::{self, Instant};
use actors::{Exit, Link, Shutdown};
use flume::Receiver;
use model::{Accounts, Batch, BootClock, Place};
use serde::Serialize;
use tokio::sync::Notify;

use crate::board::Board;
use crate::loss;
use crate::pipeline::{Outcome, Pipeline};
use crate::route::Route;

/// How often gaps become `loss` rows and the boot clock is remade; also how often an idle collector says it is well.
const TICK: Duration = Duration::from_secs(1);

/// What the collector shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CollectorState {
    /// Batches taken.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Rows sent to sinks.
    pub rows: u64,
    /// Rows dropped on purpose, by filter.
    pub filtered: BTreeMap<String, u64>,
    /// Rows for which an expression had no answer, by filter. They are kept.
    pub undecided: BTreeMap<String, Undecided>,
    /// Records that could not become rows.
    pub refused: u64,
    /// Why the latest of these could not.
    pub last_refusal: Option<String>,
    /// `loss` rows made.
    pub loss_rows: u64,
    /// Batches that wait.
    pub queue: usize,
}

/// Rows for which a filter's expression had no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// How many.
    pub rows: u64,
    /// Why the first of them.
    pub first_cause: String,
}

/// What all incarnations share.
pub(crate) struct Fixture {
    pub(crate) input: Receiver<Batch>,
    pub(crate) board: Arc<Board>,
    pub(crate) accounts: Accounts,
}

/// The collector.
pub struct Collector {
    link: Link<CollectorState>,
    fixture: Arc<Fixture>,
    pipeline: Option<Pipeline>,
    orders: Rc<Orders>,
}

/// Take up what was put on the board.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Rearrange;

/// What the mailbox tells the loop.
#[derive(Default)]
struct Orders {
    changed: Notify,
    stop: Cell<bool>,
    panic: Cell<bool>,
}

impl Collector {
    pub(crate) fn new(link: Link<CollectorState>, fixture: Arc<Fixture>, pipeline: Pipeline) -> Self {
        Self { link, fixture, pipeline: Some(pipeline), orders: Rc::default() }
    }
}

impl Actor for Collector {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(pipeline) = self.pipeline.take() else { return };
        let work = Work {
            link: self.link.clone(),
            routes: self.fixture.board.routes(),
            fixture: self.fixture.clone(),
            pipeline,
            clock: clock::boot_clock(),
            tick: clock::now() + TICK,
            orders: self.orders.clone(),
        };
        ctx.spawn(work.run().into_actor(self));
    }
}

impl Handler<Shutdown> for Collector {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.orders.stop.set(true);
        self.orders.changed.notify_one();
    }
}

impl Handler<Rearrange> for Collector {
    type Result = ();

    fn handle(&mut self, _: Rearrange, _: &mut Self::Context) {
        self.orders.changed.notify_one();
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<crate::InjectPanic> for Collector {
    type Result = ();

    fn handle(&mut self, _: crate::InjectPanic, _: &mut Self::Context) {
        self.orders.panic.set(true);
        self.orders.changed.notify_one();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Nobody comes after the last incarnation: what it left behind is lost, and must be booked before the store
        // closes its accounts.
        while self.input.try_recv().is_ok() {}
    }
}

/// The loop of one incarnation.
struct Work {
    link: Link<CollectorState>,
    fixture: Arc<Fixture>,
    pipeline: Pipeline,
    routes: Arc<[Arc<Route>]>,
    clock: BootClock,
    tick: Instant,
    orders: Rc<Orders>,
}

impl Work {
    async fn run(mut self) {
        while !self.orders.stop.get() {
            self.rearrange();
            tokio::select! {
                biased;
                () = self.orders.changed.notified() => {}
                () = tokio::time::sleep_until(self.tick) => self.tick().await,
                batch = self.fixture.input.recv_async() => match batch {
                    Ok(batch) => self.take(batch).await,
                    Err(_) => break,
                },
            }
            if self.orders.panic.get() {
                panic!("as told");
            }
            self.link.progress().mark();
            // The queue may never be empty; the mailbox must be looked at all the same.
            tokio::task::yield_now().await;
        }
        self.rearrange();
        while let Ok(batch) = self.fixture.input.try_recv() {
            self.take(batch).await;
        }
        self.store_gaps().await;
        self.routes.iter().for_each(|route| route.settle());
        self.link.end(Exit::Stopped);
    }

    /// Between two batches: other filters and sinks, if there are to be.
    fn rearrange(&mut self) {
        if self.fixture.board.take_up(&self.fixture.accounts) {
            self.pipeline.set_filters(self.fixture.board.filters());
            self.routes = self.fixture.board.routes();
        }
    }

    async fn tick(&mut self) {
        self.tick = clock::now() + TICK;
        self.clock = self.clock.unless_set(clock::boot_clock());
        self.store_gaps().await;
        let queue = self.fixture.input.len();
        self.link.update(|state| state.queue = queue);
    }

    async fn take(&mut self, batch: Batch) {
        let Batch { mut claim, records } = batch;
        let count = records.len() as u64;
        claim.enter(Place::Decode);
        let tracer = claim.account().tracer().clone();
        let outcome = self.pipeline.run(&tracer, records, self.clock);
        claim.filter(outcome.filtered_total());
        if let Some(refusal) = &outcome.first_refusal {
            claim.lose(outcome.refused, &refusal.to_string());
        }
        // A claim on more records than there are: the difference got lost on its way here.
        claim.enter(Place::Queue);
        let rows = outcome.rows.len() as u64;
        claim.lose(claim.count().saturating_sub(rows), "missing from their batch");
        self.note(count, &outcome);
        if outcome.rows.is_empty() {
            return self.tell_store().await;
        }
        let rows: Arc<[_]> = outcome.rows.into();
        let mut claims = claim.route();
        for (index, route) in self.routes.iter().enumerate() {
            let own = claims.iter().position(|claim| *claim.sink() == route.sink);
            let claim = own.map(|own| claims.swap_remove(own));
            // Whether the sink will ever store them is in its claim's books.
            let taken = route.send(claim, rows.clone()).await;
            if index == 0 && !taken {
                self.fixture.accounts.set_store_down(true);
            }
        }
    }

    /// A ring that outlives the agent waits until the store has noted that its records were dropped on purpose.
    async fn tell_store(&self) {
        if self.fixture.accounts.pinned().is_some()
            && let Some(store) = self.routes.first()
        {
            // A store that is gone keeps no notes, and nothing is to wait for it.
            if !store.send(None, Arc::new([])).await {
                self.fixture.accounts.set_store_down(true);
            }
        }
    }

    /// Every gap becomes a `loss` row; what reaches no sink is tried again at the next tick.
    async fn store_gaps(&mut self) {
        let gaps = loss::take_gaps(&self.fixture.accounts);
        if gaps.is_empty() {
            return;
        }
        let rows: Arc<[_]> = gaps.iter().map(|gap| loss::row(gap, self.clock)).collect();
        let mut taken = false;
        for route in self.routes.iter() {
            taken |= route.send(None, rows.clone()).await;
        }
        if taken {
            self.link.update(|state| state.loss_rows += rows.len() as u64);
        } else {
            loss::restore_gaps(&self.fixture.accounts, gaps);
        }
    }

    fn note(&self, records: u64, outcome: &Outcome) {
        let names: Vec<&str> = self.pipeline.filters().names().collect();
        self.link.update(|state| {
            state.batches += 1;
            state.records += records;
            state.rows += outcome.rows.len() as u64;
            for (filter, count) in &outcome.filtered {
                let name = names.get(*filter).copied().unwrap_or_default();
                match state.filtered.get_mut(name) {
                    Some(total) => *total += count,
                    None => drop(state.filtered.insert(name.to_owned(), *count)),
                }
            }
            for (filter, failures) in self.pipeline.filters().take_failures() {
                let first = || Undecided { rows: 0, first_cause: failures.first.to_string() };
                state.undecided.entry(filter.to_owned()).or_insert_with(first).rows += failures.count;
            }
            state.refused += outcome.refused;
            if let Some(refusal) = &outcome.first_refusal {
                state.last_refusal = Some(refusal.to_string());
            }
        });
    }
}
