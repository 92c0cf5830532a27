//! State around the loop of a sink's actor: shared with its handle and its next incarnation.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actors::AnyChild;
use flume::Receiver;
use model::{Accounts, Role, Routed, SinkId};
use serde::Serialize;

use crate::feed::Feed;
use crate::loss::Unwritten;
use crate::sink::kind::Pace;
use crate::sink::{Rejected, Sink};

/// State that a sink publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkState {
    /// Number of rows written.
    pub rows: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Rows that could not be written.
    pub lost: u64,
    /// Number of retries.
    pub retries: u64,
    /// Batches in the queue.
    pub queue: usize,
    /// Error of the latest write, if it failed.
    pub failing: Option<String>,
    /// Error of the first failed write.
    pub first_failure: Option<String>,
    /// Number of times that the sink could write again after a failure.
    pub recoveries: u64,
    /// Number of times that the output was removed, moved or replaced, and another one opened.
    pub reopened: u64,
    /// Cause of the latest reopening.
    pub last_reopened: Option<String>,
    /// Rows that were lost with outputs that were removed. They were written before, so `rows` counts them too.
    pub lost_with_output: u64,
    /// Damage found in what the output held before this run.
    pub damage: Option<String>,
}

/// State shared by all incarnations of one sink's actor.
pub(crate) struct Shared {
    pub(crate) id: SinkId,
    /// The previous sink on the same file, which closes the file when it ends.
    pub(crate) before: Option<Arc<dyn AnyChild>>,
    /// True if the sink is removed while others stay. Then the collector, not this sink, writes the remaining gaps as
    /// `loss` rows.
    pub(crate) leaving: Arc<AtomicBool>,
    pub(crate) input: Receiver<Routed>,
    pub(crate) accounts: Accounts,
    pub(crate) pace: Pace,
    pub(crate) unwritten: Unwritten,
    pub(crate) feed: Feed,
}

impl Shared {
    /// Returns whether the sink keeps accounts and checkpoints.
    pub(super) fn is_store(&self) -> bool {
        self.id.role == Role::Store
    }

    /// Gives rows that the sink has just written to those who follow.
    pub(super) fn publish(&self, sink: &mut dyn Sink, batches: &[Routed], rejected: &[Rejected]) {
        // A store that is being replaced still tells what it writes.
        let is_source = || self.is_store() || self.accounts.shown_sink().as_ref() == Some(&self.id);
        if self.feed.is_followed() && is_source() {
            self.feed.publish(&self.id, batches, rejected, |tracer| sink.newest_id(tracer));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // No incarnation follows: dropping the queued batches counts them as lost.
        while self.input.try_recv().is_ok() {}
    }
}
