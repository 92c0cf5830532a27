//! The actor around a sink: its queue, batches, retries and accounts. It is the same for all sinks.
//!
//! The actor runs on its own thread, where the sink may block. Every batch on the way carries a claim, which makes
//! sure that each row is counted exactly once: a claim that is dropped, as when a write panics, counts its rows as
//! lost in this sink. The queue outlives the actor's incarnations.
//!
//! A sink that keeps accounts writes them in the same transaction as the rows, so after a crash the file still agrees
//! with itself. The accounts are therefore computed before the write, as they will be if it succeeds. Only after the
//! commit do the claims count their rows as stored, and only then may a pinned ring release the records that the rows
//! came from. After a failure the previous accounts in the file stay valid; rings then stop waiting for the store, so
//! that they do not fill up because of it, until a write succeeds again.
//!
//! ```text
//!   queue ──▶ held batches ──▶ promise: accounts including these batches
//!                                  │
//!                     sink.write(rows, accounts, positions)   one transaction
//!                                  │
//!             ┌────────────────────┼──────────────────────┐
//!         committed          may pass soon          other failure
//!   claims: stored         retry for `retry_for`,   claims: lost
//!   rings: release         then as on the right     rings: do not wait
//! ```

mod work;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use actors::{ActorCtx, Shutdown};
use flume::Receiver;
use model::{Accounts, Routed, SinkId, SinkName};
use serde::Serialize;
use tokio::sync::{Notify, oneshot, watch};

use super::Sink;
use crate::loss::Unwritten;
use work::Writer;

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
}

/// Asks a sink to write everything that is queued; answered when all of it is written or lost.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// When a sink writes, and how long it retries.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Number of rows that are written at once.
    pub batch: usize,
    /// Time after which fewer rows are written.
    pub flush_interval: Duration,
    /// Time for which a failed write is retried.
    pub retry_for: Duration,
}

/// State shared by all incarnations of one sink's actor.
pub(crate) struct Shared {
    pub(crate) name: SinkName,
    /// Tells apart the sinks that had this name during the run.
    pub(crate) id: SinkId,
    /// True once the previous sink on the same file has closed it.
    pub(crate) free: watch::Receiver<bool>,
    /// True if the sink is removed while others stay. Then the collector, not this sink, writes the remaining gaps as
    /// `loss` rows.
    pub(crate) leaving: Arc<AtomicBool>,
    pub(crate) input: Receiver<Routed>,
    pub(crate) accounts: Accounts,
    pub(crate) pace: Pace,
    pub(crate) unwritten: Unwritten,
}

/// Actor that writes the rows of one sink.
pub struct SinkActor<S: Sink + Unpin> {
    ctx: ActorCtx<SinkState>,
    shared: Arc<Shared>,
    sink: Option<S>,
    control: Rc<Control>,
}

/// Requests from the mailbox to the loop.
#[derive(Default)]
struct Control {
    changed: Notify,
    stop: Cell<bool>,
    panic: Cell<bool>,
    flush: RefCell<Vec<oneshot::Sender<()>>>,
}

impl<S: Sink + Unpin> SinkActor<S> {
    pub(crate) fn new(ctx: ActorCtx<SinkState>, shared: Arc<Shared>, sink: S) -> Self {
        Self { ctx, shared, sink: Some(sink), control: Rc::default() }
    }
}

impl<S: Sink + Unpin> Actor for SinkActor<S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(sink) = self.sink.take() else { return };
        let writer = Writer::new(self.ctx.clone(), self.shared.clone(), sink, self.control.clone());
        ctx.spawn(writer.run().into_actor(self));
    }
}

impl<S: Sink + Unpin> Handler<Shutdown> for SinkActor<S> {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.control.stop.set(true);
        self.control.changed.notify_one();
    }
}

impl<S: Sink + Unpin> Handler<Flush> for SinkActor<S> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.control.flush.borrow_mut().push(done);
        self.control.changed.notify_one();
        Box::pin(async { drop(flushed.await) })
    }
}

#[cfg(feature = "fault-injection")]
impl<S: Sink + Unpin> Handler<crate::InjectPanic> for SinkActor<S> {
    type Result = ();

    fn handle(&mut self, _: crate::InjectPanic, _: &mut Self::Context) {
        self.control.panic.set(true);
        self.control.changed.notify_one();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // No incarnation follows: dropping the queued batches counts them as lost.
        while self.input.try_recv().is_ok() {}
    }
}
