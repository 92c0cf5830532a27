//! The loop of a sink's actor: takes batches off the queue, writes them, retries, and settles their claims.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Backoff, Exit, LoopCtx};
use model::{LossPoint, Routed, TracerName};
use tokio::sync::oneshot;

use super::shared::{Shared, SinkState};
use crate::loss;
use crate::sink::{PinnedCheckpoint, Rejected, Replaced, Sink, SinkError, TracerAccount, Trouble};

/// Interval at which an idle sink reports progress, and at which accounts are written although no row came.
const TICK: Duration = Duration::from_secs(1);
/// Interval at which a sink that holds rows checks whether a pinned ring fills up behind it.
const PRESSURE_POLL: Duration = Duration::from_millis(20);
/// Number of bytes of texts that are held before they are written.
const HELD: usize = 4 << 20;
/// Delays between retries of the same batches.
const BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(500), jitter: 0.2 };

/// Requests to flush that the loop has not answered yet.
pub(super) type Flushes = Rc<RefCell<Vec<oneshot::Sender<()>>>>;

/// Loop of one incarnation.
pub(super) struct Writer {
    ctx: LoopCtx<SinkState>,
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    /// Batches taken off the queue and not written yet.
    held: Vec<Routed>,
    rows: usize,
    /// Bytes of the rows' texts.
    bytes: usize,
    due: Option<Instant>,
    /// Accounts as of the last successful write.
    kept: Vec<TracerAccount>,
    flushes: Flushes,
}

impl Writer {
    pub(super) fn new(
        ctx: LoopCtx<SinkState>,
        shared: Arc<Shared>,
        sink: Box<dyn Sink>,
        flushes: Flushes,
    ) -> Self {
        Self { ctx, shared, sink, held: Vec::new(), rows: 0, bytes: 0, due: None, kept: Vec::new(), flushes }
    }

    pub(super) async fn run(mut self) -> Exit {
        self.until_free().await;
        self.refresh();
        if let Err(error) = self.check() {
            // A full disk may have room later; missing permission will stay.
            if error.trouble == Trouble::Permanent {
                return Exit::given_up(&error);
            }
            self.note_failure(&error);
        }
        let mut tick = clock::now() + TICK;
        while !self.ctx.is_stopping() {
            let wake = self.wake_at(tick);
            tokio::select! {
                biased;
                () = self.ctx.woken() => {}
                () = tokio::time::sleep_until(wake) => {}
                routed = self.shared.input.recv_async() => match routed {
                    Ok(routed) => self.take(routed),
                    Err(_) => break,
                },
            }
            self.ctx.panic_if_asked();
            self.step(&mut tick).await;
            self.ctx.progress().mark();
            // The queue may never be empty; the mailbox must be served all the same.
            tokio::task::yield_now().await;
        }
        self.close().await;
        Exit::Stopped
    }

    /// Returns when to wake up although nothing arrives.
    fn wake_at(&self, tick: Instant) -> Instant {
        let due = self.due.map_or(tick, |due| due.min(tick));
        // A ring that waits for the store may fill up long before the next flush is due.
        let waits = self.due.is_some() && self.shared.is_store() && self.shared.accounts.pinned().is_some();
        if waits { due.min(clock::now() + PRESSURE_POLL) } else { due }
    }

    /// Returns whether a pinned ring is filling up because its records wait for this sink.
    fn is_pressed(&self) -> bool {
        self.shared.is_store() && self.shared.accounts.take_flush_request()
    }

    /// Waits until no other sink writes to the same file.
    async fn until_free(&self) {
        if let Some(before) = &self.shared.before {
            self.ctx.progress().marking(before.ended()).await;
        }
    }

    /// Returns whether so much is held that it is written without waiting for more.
    fn is_full(&self) -> bool {
        self.rows >= self.shared.pace.batch || self.bytes >= HELD
    }

    fn check(&mut self) -> Result<(), SinkError> {
        let _zone = self.ctx.progress().zone("opening a sink");
        self.sink.check()
    }

    async fn step(&mut self, tick: &mut Instant) {
        let flushes = self.flushes.take();
        while !self.is_full() || !flushes.is_empty() {
            let Ok(routed) = self.shared.input.try_recv() else { break };
            self.take(routed);
            if self.is_full() || self.is_pressed() {
                self.write().await;
            }
        }
        let now = clock::now();
        if self.is_full()
            || (self.due.is_some() && self.is_pressed())
            || self.due.is_some_and(|due| due <= now)
            || !flushes.is_empty()
        {
            self.write().await;
        }
        answer(flushes);
        if *tick <= now {
            *tick = now + TICK;
            self.refresh();
            self.idle_write().await;
            let queue = self.shared.input.len();
            let damage = self.sink.damage();
            self.ctx.update(|state| {
                state.queue = queue;
                state.damage = damage;
            });
        }
    }

    /// Writes accounts that changed although no row came (all were filtered), and `loss` rows that still wait.
    async fn idle_write(&mut self) {
        let waiting = !self.shared.unwritten.rows().is_empty();
        let changed = self.shared.is_store() && self.held.is_empty() && self.accounts_after() != self.kept;
        if waiting || changed {
            self.write().await;
        }
    }

    fn take(&mut self, mut routed: Routed) {
        let Some(claim) = &mut routed.claim else {
            // The agent's own rows have no claim. They wait outside this loop, so that they outlive a panic.
            self.shared.unwritten.add(&routed.rows);
            self.due.get_or_insert_with(|| clock::now() + self.shared.pace.flush_interval);
            return;
        };
        claim.enter(LossPoint::Sink);
        self.due.get_or_insert_with(|| clock::now() + self.shared.pace.flush_interval);
        self.rows += routed.rows.len();
        self.bytes += routed.bytes;
        self.held.push(routed);
    }

    /// Opens another output if the present one was removed, moved or replaced, and counts what was lost with it.
    fn refresh(&mut self) {
        let Some(Replaced { cause, lost, since }) = self.sink.refresh() else { return };
        let (mut rows, span) = (0, (since, clock::boot_ns()));
        for (tracer, count) in lost {
            rows += self.shared.accounts.unstore(&tracer, &self.shared.id, count, span, &cause);
        }
        tracing::warn!(
            sink = self.shared.id.name.as_str(),
            cause,
            lost = rows,
            "output gone, opening another"
        );
        self.shared.feed.replaced(&self.shared.id);
        // The new output has no accounts yet.
        self.kept = Vec::new();
        self.ctx.update(|state| {
            state.reopened += 1;
            state.lost_with_output += rows;
            state.last_reopened = Some(cause.clone());
        });
        if let Err(error) = self.check() {
            self.note_failure(&error);
        }
    }

    /// Writes the held batches. Afterwards none is held: each row is stored, or counted as lost.
    async fn write(&mut self) {
        self.refresh();
        self.due = None;
        (self.rows, self.bytes) = (0, 0);
        let accounts = if self.shared.is_store() { self.promise() } else { Vec::new() };
        let mut batches = std::mem::take(&mut self.held);
        let (losses, ring_losses) = (self.shared.unwritten.rows(), self.shared.unwritten.ring_losses());
        if !losses.is_empty() {
            batches.push(Routed { claim: None, rows: losses.into(), bytes: 0 });
        }
        if batches.is_empty() && accounts.is_empty() {
            // An empty write would not show whether the sink can write.
            return;
        }
        let patience =
            if self.ctx.read().failing.is_some() { Duration::ZERO } else { self.shared.pace.retry_for };
        let give_up_at = clock::now() + patience;
        let mut retry = 0;
        let error = loop {
            let written = {
                let _zone = self.ctx.progress().zone("writing to a sink");
                self.sink.write(&batches, &accounts)
            };
            let error = match written {
                Ok(rejected) => return self.settle(batches, accounts, &rejected, &ring_losses),
                Err(error) => error,
            };
            let delay = BACKOFF.delay(retry, 0.5);
            let hopeless = error.trouble != Trouble::Transient || clock::now() + delay > give_up_at;
            if hopeless || self.ctx.is_stopping() {
                break error;
            }
            retry += 1;
            self.ctx.update(|state| state.retries += 1);
            clock::sleep(delay).await;
            self.ctx.panic_if_asked();
        };
        self.note_failure(&error);
        self.lose(batches, &error.to_string());
    }

    fn settle(
        &mut self,
        mut batches: Vec<Routed>,
        accounts: Vec<TracerAccount>,
        rejected: &[Rejected],
        ring_losses: &BTreeMap<TracerName, u64>,
    ) {
        self.shared.publish(&mut *self.sink, &batches, rejected);
        let mut lost = 0;
        for bad in rejected {
            let claim = batches.get_mut(bad.batch).and_then(|batch| batch.claim.as_mut());
            if let Some(claim) = claim {
                claim.lose(bad.rows, &bad.cause);
                lost += bad.rows;
            }
            tracing::warn!(
                sink = self.shared.id.name.as_str(),
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
                None => self.shared.unwritten.clear(),
            }
        }
        self.release(&accounts, ring_losses);
        // These accounts still count rejected rows as stored. The next comparison finds the difference, and they are
        // written again.
        self.kept = accounts;
        let recovered = self.ctx.read().failing;
        if let Some(cause) = &recovered {
            tracing::info!(sink = self.shared.id.name.as_str(), cause, "sink writes again");
        }
        self.ctx.update(|state| {
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
        self.ctx.update(|state| state.lost += lost);
        if self.shared.is_store() {
            self.shared.accounts.set_store_down(true);
        }
    }

    /// Allows pinned rings to release the records whose rows are committed.
    fn release(&self, accounts: &[TracerAccount], ring_losses: &BTreeMap<TracerName, u64>) {
        if !self.shared.is_store() {
            return;
        }
        self.shared.accounts.set_store_down(false);
        for account in accounts {
            if let Some(checkpoint) = &account.checkpoint {
                let ring_losses = ring_losses.get(&account.tracer).copied().unwrap_or(0);
                self.shared.accounts.of(&account.tracer).committed(&checkpoint.point, ring_losses);
            }
        }
    }

    fn note_failure(&self, error: &SinkError) {
        let cause = error.to_string();
        if self.ctx.read().failing.is_none() {
            let trouble = error.trouble.to_string();
            tracing::error!(
                sink = self.shared.id.name.as_str(),
                cause,
                trouble,
                "sink can't write; rows are lost"
            );
        }
        self.ctx.update(|state| {
            state.first_failure.get_or_insert_with(|| cause.clone());
            state.failing = Some(cause);
        });
    }

    /// Marks the held rows as about to be stored, and returns the accounts that include them.
    fn promise(&self) -> Vec<TracerAccount> {
        self.held.iter().filter_map(|batch| batch.claim.as_ref()).for_each(model::SinkClaim::mark_writing);
        self.accounts_after()
    }

    /// Returns the accounts as they will be when the held batches are written.
    fn accounts_after(&self) -> Vec<TracerAccount> {
        let accounts = self.shared.accounts.all();
        let (pinned, ring_losses) = (self.shared.accounts.pinned(), self.shared.unwritten.ring_losses());
        let accounts = accounts.iter().map(|account| {
            let mut snapshot = account.snapshot_of(&self.shared.id);
            let own = self.held.iter().filter_map(|batch| batch.claim.as_ref());
            let own = own.filter(|claim| Arc::ptr_eq(claim.account(), account));
            snapshot.stored += own.map(model::SinkClaim::count).sum::<u64>();
            let ring_losses = ring_losses.get(account.tracer()).copied().unwrap_or(0);
            let checkpoint = pinned.clone().zip(account.checkpoint(ring_losses));
            let checkpoint = checkpoint.map(|(pinned, point)| PinnedCheckpoint { pinned, point });
            TracerAccount { tracer: account.tracer().clone(), snapshot, checkpoint }
        });
        accounts.collect()
    }

    /// Writes what is still queued, then the final accounts. Everything that sends to this sink has ended.
    async fn close(mut self) {
        while let Ok(routed) = self.shared.input.try_recv() {
            self.take(routed);
            if self.is_full() {
                self.write().await;
            }
        }
        self.refresh();
        self.write_if_any().await;
        // Rows lost just now leave gaps that the collector, which has ended, can't write any more.
        let leaving = self.shared.leaving.load(Relaxed);
        let gaps = if leaving { Vec::new() } else { loss::take_gaps(&self.shared.accounts) };
        let clocks = clock::clocks();
        let rows: Vec<_> = gaps.iter().map(|gap| loss::row(gap, &clocks, &self.shared.accounts)).collect();
        self.shared.unwritten.add(&rows);
        self.write_if_any().await;
        let accounts = self.accounts_after();
        let closed = {
            let _zone = self.ctx.progress().zone("closing a sink");
            self.sink.close(&accounts, clock::wall())
        };
        if let Err(error) = closed {
            self.note_failure(&error);
        }
        answer(self.flushes.take());
        self.ctx.update(|state| state.queue = 0);
    }

    async fn write_if_any(&mut self) {
        if !self.held.is_empty() || !self.shared.unwritten.rows().is_empty() {
            self.write().await;
        }
    }
}

fn answer(flushes: Vec<oneshot::Sender<()>>) {
    for flushed in flushes {
        // The sender of the request may be gone.
        let _ = flushed.send(());
    }
}
