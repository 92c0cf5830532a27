//! Records that have been read and wait to be sent: by tracer, as batches, answered for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Batcher, Closed, Limits, Outbox, Progress};
use model::{Account, Accounts, Batch, BootNs, Claim, Record, TracerName};

/// How often a tracer that waits for the collector says that it lives: the queue being full is not its fault.
const MARK: Duration = Duration::from_secs(1);

/// When a batch goes. Its age is what an event waits at most on a quiet day.
const LIMITS: Limits = Limits { count: 1024, bytes: 1 << 20, age: Duration::from_millis(50) };

/// Batches being made.
pub(crate) struct Pending {
    accounts: Accounts,
    open: BTreeMap<TracerName, Open>,
    ready: VecDeque<Batch>,
}

/// The batch at hand of one tracer. Dropped with records in it, as when its actor falls, it books them as lost.
struct Open {
    account: Arc<Account>,
    batcher: Batcher<Record>,
    from: BootNs,
    to: BootNs,
}

impl Open {
    fn batch(&self, records: Vec<Record>) -> Batch {
        let claim = Claim::on_new(self.account.clone(), records.len() as u64, (self.from, self.to));
        Batch { claim, records }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(records) = self.batcher.take() {
            drop(self.batch(records));
        }
    }
}

impl Pending {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self { accounts, open: BTreeMap::new(), ready: VecDeque::new() }
    }

    /// Adds a record of `weight` bytes that was read at `now`.
    pub(crate) fn push(&mut self, tracer: &TracerName, record: Record, weight: usize, now: BootNs) {
        if !self.open.contains_key(tracer) {
            let account = self.accounts.of(tracer);
            let open = Open { account, batcher: Batcher::new(LIMITS), from: now, to: now };
            self.open.insert(tracer.clone(), open);
        }
        let Some(open) = self.open.get_mut(tracer) else { return };
        if open.batcher.is_empty() {
            open.from = now;
        }
        open.to = now;
        if let Some(records) = open.batcher.push(record, weight) {
            self.ready.push_back(open.batch(records));
        }
    }

    /// When the oldest batch at hand must go.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.values().filter_map(|open| open.batcher.due()).min()
    }

    /// Makes batches that are due ready; with `all`, all of them.
    pub(crate) fn ripen(&mut self, all: bool) {
        let now = clock::now();
        for open in self.open.values_mut() {
            if (all || open.batcher.due().is_some_and(|due| due <= now))
                && let Some(records) = open.batcher.take()
            {
                self.ready.push_back(open.batch(records));
            }
        }
    }

    /// The next batch to send.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        self.ready.pop_front()
    }
}

/// Sends a batch, however long the collector takes.
pub(crate) async fn send(outbox: &Outbox<Batch>, batch: Batch, progress: &Progress) -> Result<(), Closed> {
    let mut sending = std::pin::pin!(outbox.send(batch));
    loop {
        progress.mark();
        tokio::select! {
            sent = &mut sending => return sent,
            () = clock::sleep(MARK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Details, Moment, SinkName};

    use super::*;

    fn record() -> Record {
        Record {
            at: Moment::Boot(BootNs(1)),
            identity: None,
            details: Details::Fields(serde_json::Map::new()),
        }
    }

    fn pending() -> (Pending, Accounts, SinkName) {
        let sink = SinkName::new("memory");
        let accounts = Accounts::new(std::slice::from_ref(&sink));
        (Pending::new(accounts.clone()), accounts, sink)
    }

    #[tokio::test(start_paused = true)]
    async fn batches_go_by_tracer_by_count_and_by_age() {
        let (mut pending, ..) = pending();
        for _ in 0..LIMITS.count {
            pending.push(&"a".into(), record(), 1, BootNs(1));
        }
        pending.push(&"b".into(), record(), 1, BootNs(2));
        let full = pending.next().unwrap();
        assert_eq!((full.records.len(), full.claim.account().tracer().as_str()), (LIMITS.count, "a"));
        pending.ripen(false);
        assert!(pending.next().is_none());
        clock::sleep(LIMITS.age).await;
        pending.ripen(false);
        assert_eq!(pending.next().unwrap().claim.account().tracer().as_str(), "b");
        assert_eq!(pending.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_with_its_actor_is_a_loss() {
        let (mut pending, accounts, sink) = pending();
        pending.push(&"a".into(), record(), 1, BootNs(1));
        drop(pending);
        let books = accounts.of(&"a".into()).snapshot(&sink);
        assert_eq!((books.seen, books.lost.queue, books.in_flight()), (1, 1, 0));
    }
}
