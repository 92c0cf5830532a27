//! Collects records that have been read into batches, by tracer, until they are sent. Their claims count them from
//! here on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Batcher, Limits};
use model::{Account, Accounts, Batch, BootNs, Claim, Record, TracerName};

use crate::backlog::Backlog;

/// Limits at which a batch is sent. The age is the longest time that an event waits when there are few.
const LIMITS: Limits = Limits { count: 1024, bytes: 1 << 20, age: Duration::from_millis(50) };

/// Batches that are being filled, and those that are ready.
pub(crate) struct Pending {
    accounts: Accounts,
    open: BTreeMap<TracerName, Open>,
    ready: VecDeque<Batch>,
    backlog: Backlog,
}

/// The batch of one tracer that is being filled. If it is dropped with records in it, as when its actor crashes, the
/// records count as lost.
struct Open {
    account: Arc<Account>,
    batcher: Batcher<Record>,
    bytes: usize,
    from: BootNs,
    to: BootNs,
}

impl Open {
    fn batch(&mut self, records: Vec<Record>, backlog: &mut Backlog) -> Batch {
        backlog.add(self.account.clone(), records.len() as u64, std::mem::take(&mut self.bytes));
        self.claimed(records)
    }

    fn claimed(&self, records: Vec<Record>) -> Batch {
        let claim = Claim::on_new(self.account.clone(), records.len() as u64, (self.from, self.to));
        Batch { claim, records }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(records) = self.batcher.take() {
            drop(self.claimed(records));
        }
    }
}

impl Pending {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self { accounts, open: BTreeMap::new(), ready: VecDeque::new(), backlog: Backlog::default() }
    }

    /// Adds a record of `weight` bytes that was read at `now`.
    pub(crate) fn push(&mut self, tracer: &TracerName, record: Record, weight: usize, now: BootNs) {
        if !self.open.contains_key(tracer) {
            let account = self.accounts.of(tracer);
            let open = Open { account, batcher: Batcher::new(LIMITS), bytes: 0, from: now, to: now };
            self.open.insert(tracer.clone(), open);
        }
        let Some(open) = self.open.get_mut(tracer) else { return };
        if open.batcher.is_empty() {
            open.from = now;
        }
        open.to = now;
        open.bytes += weight;
        if let Some(records) = open.batcher.push(record, weight) {
            self.ready.push_back(open.batch(records, &mut self.backlog));
        }
    }

    /// Returns whether the records that no sink has written yet leave room for more.
    pub(crate) fn has_room(&mut self) -> bool {
        self.backlog.has_room()
    }

    /// Returns when the oldest unfinished batch must be sent.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.values().filter_map(|open| open.batcher.due()).min()
    }

    /// Makes the batches that are due ready; with `all`, every batch.
    pub(crate) fn ripen(&mut self, all: bool) {
        let now = clock::now();
        for open in self.open.values_mut() {
            if (all || open.batcher.due().is_some_and(|due| due <= now))
                && let Some(records) = open.batcher.take()
            {
                self.ready.push_back(open.batch(records, &mut self.backlog));
            }
        }
    }

    /// Returns the next batch to send.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        self.ready.pop_front()
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
    async fn records_dropped_with_their_actor_count_as_lost() {
        let (mut pending, accounts, sink) = pending();
        pending.push(&"a".into(), record(), 1, BootNs(1));
        drop(pending);
        let account = accounts.of(&"a".into()).snapshot(&sink);
        assert_eq!((account.seen, account.lost.queue, account.in_flight()), (1, 1, 0));
    }
}
