//! Rows for those who follow the agent live. The sink that is shown in `status` (the store; without one, the first sink)
//! publishes what it has just written; every follower has a bounded queue of its own and takes from it on its own thread.
//! Rows are shared, not copied. Without a follower, a write costs one load of an atomic number.
//!
//! ```text
//!   sink's thread                                   follower's thread
//!   write, commit ─► publish ─► queue of each follower ─► Subscription::next ─► encoded, sent
//!                                 └─ full: rows are left out, and counted
//! ```
//!
//! Published rows carry their ids, and rows are published after they were committed. So whoever subscribes first and then
//! reads the store misses nothing, and knows by the ids which published rows it has read already.

mod queue;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use model::lock::lock;
use model::schema::stored_name;
use model::{Routed, SinkId, Tracking};
use serde::{Deserialize, Serialize};

use crate::sink::Rejected;
use queue::Queue;
pub use queue::{Event, Part, Stored};

/// The stream of stored rows. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Number of followers. Read without the lock.
    followers: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queues: Vec<Arc<Queue>>,
    counts: FeedState,
    /// Numbers of the outputs that the sinks write to.
    outputs: HashMap<SinkId, u64>,
    latest: u64,
    /// The newest ids of rows from a sink that does not number them.
    ids: BTreeMap<String, i64>,
    is_closed: bool,
}

/// Counters of the stream, shown in `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// Followers at the moment.
    pub followers: usize,
    /// Followers since the start.
    pub followed: u64,
    /// Rows handed to followers.
    pub rows: u64,
    /// Rows that followers lack, because they read too slowly.
    pub left_out: u64,
}

impl Feed {
    /// Returns whether anybody follows.
    pub fn is_followed(&self) -> bool {
        // A follower reads the store only after it has been answered, and rows are committed before this is asked: which of
        // both the other side sees first does not matter.
        self.inner.followers.load(Ordering::Relaxed) > 0
    }

    /// Returns the counters.
    pub fn state(&self) -> FeedState {
        let state = self.lock();
        FeedState { followers: state.queues.len(), ..state.counts }
    }

    /// Ends the stream: followers get what is queued, and nothing more comes.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.queues.iter().for_each(|queue| queue.close());
    }

    /// Adds a follower of these tracers, by the names they are stored under, or of all. What `recent` returns, batches and how
    /// many rows at the beginning of each are left out, it gets first; they may be published a second time, and are then left
    /// out.
    pub(crate) fn follow(
        &self,
        tracers: Vec<String>,
        source: Option<&SinkId>,
        recent: impl FnOnce() -> Option<Vec<(Arc<[Tracking]>, usize)>>,
    ) -> Subscription {
        let queue = Arc::new(Queue::new(tracers));
        let mut state = self.lock();
        state.counts.followed += 1;
        let output = source.map_or(0, |source| state.output(source));
        if state.is_closed {
            queue.close();
        }
        state.queues.push(queue.clone());
        self.inner.followers.store(state.queues.len(), Ordering::SeqCst);
        drop(state);
        // Only now, so that no row is missing between both.
        let recent = recent().unwrap_or_default();
        let first = queue.wanted(&recent);
        let known = recent.into_iter().map(|(rows, _)| rows).collect();
        let first = (!first.is_empty()).then_some(Stored { output, parts: first });
        Subscription { feed: self.clone(), queue, output, first, known }
    }

    /// Gives rows that `sink` has just written to all followers. `newest` returns the id of the newest row of a tracer.
    pub(crate) fn publish(
        &self,
        sink: &SinkId,
        batches: &[Routed],
        rejected: &[Rejected],
        mut newest: impl FnMut(&str) -> Option<i64>,
    ) {
        let mut state = self.lock();
        let output = state.output(sink);
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let mut named = Vec::with_capacity(batches.len());
        for (index, batch) in batches.iter().enumerate() {
            let Some(first) = batch.rows.first() else { continue };
            let bad: u64 = rejected.iter().filter(|bad| bad.batch == index).map(|bad| bad.rows).sum();
            let tracer = stored_name(first.tracer.as_str());
            *counts.entry(tracer.clone()).or_default() += batch.rows.len() as i64 - bad as i64;
            named.push((tracer, batch, bad));
        }
        // The rows of a write are the newest ones, in the order of its batches.
        let mut next: BTreeMap<String, i64> = BTreeMap::new();
        for (tracer, count) in counts {
            let own = state.ids.entry(tracer.clone()).or_default();
            *own += count;
            let last = newest(&tracer).unwrap_or(*own);
            next.insert(tracer, last - count + 1);
        }
        let parts = named.into_iter().map(|(tracer, batch, bad)| {
            let id = next.entry(tracer).or_default();
            let first_id = *id;
            *id += batch.rows.len() as i64 - bad as i64;
            // Which rows the sink refused is not known, so all of the batch are left out.
            let part = Part { rows: batch.rows.clone(), from: 0, first_id };
            (part, batch.bytes, bad > 0)
        });
        let parts: Vec<_> = parts.collect();
        let State { queues, counts, .. } = &mut *state;
        for queue in queues.iter() {
            let (rows, left_out) = queue.push(output, &parts, queues.len());
            counts.rows += rows;
            counts.left_out += left_out;
        }
    }

    /// Notes that a sink writes to another output than before: ids begin again.
    pub(crate) fn replaced(&self, sink: &SinkId) {
        self.lock().outputs.remove(sink);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.inner.state)
    }
}

impl State {
    /// Returns the number of the output that a sink writes to.
    fn output(&mut self, sink: &SinkId) -> u64 {
        let latest = &mut self.latest;
        *self.outputs.entry(sink.clone()).or_insert_with(|| {
            *latest += 1;
            *latest
        })
    }
}

/// A follower's end of the stream. Dropping it ends the following.
#[derive(Debug)]
pub struct Subscription {
    feed: Feed,
    queue: Arc<Queue>,
    output: u64,
    first: Option<Stored>,
    /// Rows in `first`, until the first ones are published that are not among them.
    known: Vec<Arc<[Tracking]>>,
}

impl Subscription {
    /// Returns the number of the output that the rows were written to when the following began. Ids of rows are comparable only
    /// within one output.
    pub fn output(&self) -> u64 {
        self.output
    }

    /// Returns what comes next; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(Event::Stored(first));
        }
        loop {
            match self.queue.next().await? {
                Event::Stored(stored) if self.is_known(&stored) => {}
                event => {
                    self.known = Vec::new();
                    return Some(event);
                }
            }
        }
    }

    /// Returns whether the rows were among the recent ones. The memory has all rows of a write, or none.
    fn is_known(&self, stored: &Stored) -> bool {
        stored.parts.iter().any(|part| self.known.iter().any(|known| Arc::ptr_eq(known, &part.rows)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        state.queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.feed.inner.followers.store(state.queues.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
