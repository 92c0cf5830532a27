//! The actor around a sink: its queue, batches, retries, accounts. The same for all sinks.
//!
//! It runs on a thread of its own, where a sink may block. What it has taken off its queue is its claims' to answer
//! for: a panic while writing books it as lost in this sink; the queue outlives the actor.

mod work;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use actors::{Link, Shutdown};
use flume::Receiver;
use model::{Accounts, Routed, SinkId, SinkName};
use serde::Serialize;
use tokio::sync::{Notify, oneshot, watch};

use super::Sink;
use crate::loss::Unwritten;
use work::Writer;

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
pub struct Pace {
    /// So many rows at once.
    pub batch: usize,
    /// Fewer after this time.
    pub flush_interval: Duration,
    /// How long a batch may be tried again.
    pub retry_for: Duration,
}

/// What all incarnations of one sink's actor share.
pub(crate) struct Fixture {
    pub(crate) name: SinkName,
    /// Which of those that had the name.
    pub(crate) id: SinkId,
    /// True once whoever had the same file before has let go of it.
    pub(crate) free: watch::Receiver<bool>,
    /// It goes while others stay: gaps are the collector's to tell, to all of them.
    pub(crate) leaving: Arc<AtomicBool>,
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
        let writer = Writer::new(self.link.clone(), self.fixture.clone(), sink, self.orders.clone());
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

impl Drop for Fixture {
    fn drop(&mut self) {
        // Nobody comes after the last incarnation: what it left behind is lost, and its claims book it so.
        while self.input.try_recv().is_ok() {}
    }
}
