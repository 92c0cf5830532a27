//! The collector's actor: takes batches of records, and sends rows to every sink.
//!
//! A panic loses the batch that was being processed; its claim counts the records as lost. The queue outlives the
//! actor's incarnations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Handler, Message};
use actors::clock::{self, Instant};
use actors::{ActorLoop, Exit, LoopActor, LoopCtx};
use flume::Receiver;
use model::{Accounts, Batch, LossPoint};
use serde::Serialize;

use crate::live_routing::LiveRouting;
use crate::loss;
use crate::pipeline::{Outcome, Pipeline};
use crate::route::Route;

/// Interval at which gaps become `loss` rows and the clocks are read; an idle collector also reports progress
/// this often.
const TICK: Duration = Duration::from_secs(1);

/// State that the collector publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CollectorState {
    /// Number of batches processed.
    pub batches: u64,
    /// Records in those batches.
    pub records: u64,
    /// Rows sent to sinks.
    pub rows: u64,
    /// Rows that filters dropped, by filter.
    pub filtered: BTreeMap<String, u64>,
    /// Rows for which a filter's expression could not be evaluated, by filter. They are kept.
    pub undecided: BTreeMap<String, Undecided>,
    /// Rows with texts that were cut: of a call that failed, or because the row was too large.
    pub shortened: u64,
    /// Records that could not become rows.
    pub refused: u64,
    /// Error of the latest refused record.
    pub last_refusal: Option<String>,
    /// `loss` rows written.
    pub loss_rows: u64,
    /// Batches in the queue.
    pub queue: usize,
    /// Number of times that the wall clock was set.
    pub clock_changes: u64,
    /// Number of these changes that are forgotten, because later ones were too many: no record is converted by them.
    pub clock_changes_forgotten: u64,
}

/// Rows for which a filter's expression could not be evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// Number of such rows.
    pub rows: u64,
    /// Error of the first such row.
    pub first_cause: String,
}

/// State shared by all incarnations of the collector.
pub(crate) struct Shared {
    pub(crate) input: Receiver<Batch>,
    pub(crate) routing: Arc<LiveRouting>,
    pub(crate) accounts: Accounts,
}

/// Actor that turns batches of records into rows and sends them to the sinks.
pub struct Collector {
    work: Option<Work>,
}

/// Wakes the collector to apply the pending change of its [`LiveRouting`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApplyPending;

impl Message for ApplyPending {
    type Result = ();
}

impl Collector {
    pub(crate) fn new(ctx: LoopCtx<CollectorState>, shared: Arc<Shared>, pipeline: Pipeline) -> Self {
        let routes = shared.routing.routes();
        clock::watch();
        let tick = clock::now() + TICK;
        Self { work: Some(Work { ctx, shared, pipeline, routes, tick }) }
    }
}

impl ActorLoop for Collector {
    type State = CollectorState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let work = self.work.take();
        async move {
            match work {
                Some(work) => work.run().await,
                None => Exit::Finished,
            }
        }
    }
}

impl Handler<ApplyPending> for LoopActor<Collector> {
    type Result = ();

    fn handle(&mut self, _: ApplyPending, _: &mut Self::Context) {
        self.ctx().wake();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // No incarnation follows: dropping the queued batches counts them as lost, before the store closes its
        // accounts.
        while self.input.try_recv().is_ok() {}
    }
}

/// Loop of one incarnation.
struct Work {
    ctx: LoopCtx<CollectorState>,
    shared: Arc<Shared>,
    pipeline: Pipeline,
    routes: Arc<[Arc<Route>]>,
    tick: Instant,
}

impl Work {
    async fn run(mut self) -> Exit {
        while !self.ctx.is_stopping() {
            self.apply_pending();
            tokio::select! {
                biased;
                () = self.ctx.woken() => {}
                () = tokio::time::sleep_until(self.tick) => self.tick().await,
                batch = self.shared.input.recv_async() => match batch {
                    Ok(batch) => self.take(batch).await,
                    Err(_) => break,
                },
            }
            self.ctx.panic_if_asked();
            self.ctx.progress().mark();
            // The queue may never be empty; the mailbox must be served all the same.
            tokio::task::yield_now().await;
        }
        self.apply_pending();
        while let Ok(batch) = self.shared.input.try_recv() {
            self.take(batch).await;
        }
        self.store_gaps().await;
        self.routes.iter().for_each(|route| route.settle());
        Exit::Stopped
    }

    /// Applies a pending change of filters and sinks, if there is one. Called between two batches.
    fn apply_pending(&mut self) {
        if self.shared.routing.apply_pending(&self.shared.accounts) {
            self.pipeline.set_filters(self.shared.routing.filters());
            self.routes = self.shared.routing.routes();
        }
    }

    async fn tick(&mut self) {
        self.tick = clock::now() + TICK;
        clock::sample();
        self.store_gaps().await;
        let queue = self.shared.input.len();
        let clocks = clock::clocks();
        self.ctx.update(|state| {
            state.queue = queue;
            state.clock_changes = clocks.changes();
            state.clock_changes_forgotten = clocks.forgotten();
        });
    }

    async fn take(&mut self, batch: Batch) {
        let Batch { mut claim, records } = batch;
        let count = records.len() as u64;
        claim.enter(LossPoint::Decode);
        let tracer = claim.account().tracer().clone();
        let outcome = self.pipeline.run(&tracer, records, &clock::clocks());
        claim.filter(outcome.filtered_total());
        if let Some(refusal) = &outcome.first_refusal {
            claim.lose(outcome.refused, &refusal.to_string());
        }
        // The claim may cover more records than arrived: the difference was lost on the way.
        claim.enter(LossPoint::Queue);
        let rows = outcome.rows.len() as u64;
        claim.lose(claim.count().saturating_sub(rows), "missing from their batch");
        self.note(count, &outcome);
        if outcome.rows.is_empty() {
            return self.notify_store().await;
        }
        let bytes = outcome.bytes;
        let rows: Arc<[_]> = outcome.rows.into();
        let mut claims = claim.route();
        for route in self.routes.iter() {
            let own = claims.iter().position(|claim| *claim.sink() == route.sink);
            let claim = own.map(|own| claims.swap_remove(own));
            // The claim counts the rows as stored or lost, whatever the sink does with them.
            let taken = route.send(claim, rows.clone(), bytes).await;
            if route.is_store() && !taken {
                self.shared.accounts.set_store_down(true);
            }
        }
    }

    /// Sends the store an empty batch when all records were filtered. A pinned ring can release the records only
    /// after the store has committed that they were dropped on purpose.
    async fn notify_store(&self) {
        if self.shared.accounts.pinned().is_some()
            && let Some(store) = self.routes.iter().find(|route| route.is_store())
        {
            // A store that has ended commits nothing, so nothing must wait for it.
            if !store.send(None, Arc::new([]), 0).await {
                self.shared.accounts.set_store_down(true);
            }
        }
    }

    /// Writes every gap as a `loss` row. Gaps that no sink took are tried again at the next tick.
    async fn store_gaps(&mut self) {
        let gaps = loss::take_gaps(&self.shared.accounts);
        if gaps.is_empty() {
            return;
        }
        let clocks = clock::clocks();
        let rows: Arc<[_]> = gaps.iter().map(|gap| loss::row(gap, &clocks, &self.shared.accounts)).collect();
        let mut taken = false;
        for route in self.routes.iter() {
            taken |= route.send(None, rows.clone(), 0).await;
        }
        if taken {
            self.ctx.update(|state| state.loss_rows += rows.len() as u64);
        } else {
            loss::restore_gaps(&self.shared.accounts, gaps);
        }
    }

    fn note(&self, records: u64, outcome: &Outcome) {
        let names: Vec<&str> = self.pipeline.filters().names().collect();
        self.ctx.update(|state| {
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
            state.shortened += outcome.shortened;
            state.refused += outcome.refused;
            if let Some(refusal) = &outcome.first_refusal {
                state.last_refusal = Some(refusal.to_string());
            }
        });
    }
}
