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

mod shared;
mod work;

use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use actors::{ActorCtx, Shutdown};
use tokio::sync::oneshot;

use super::Sink;
use shared::Control;
pub(crate) use shared::Shared;
pub use shared::SinkState;
use work::Writer;

/// Asks a sink to write everything that is queued; answered when all of it is written or lost.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// Actor that writes the rows of one sink.
pub struct SinkActor {
    ctx: ActorCtx<SinkState>,
    shared: Arc<Shared>,
    sink: Option<Box<dyn Sink>>,
    control: Rc<Control>,
}

impl SinkActor {
    pub(crate) fn new(ctx: ActorCtx<SinkState>, shared: Arc<Shared>, sink: Box<dyn Sink>) -> Self {
        Self { ctx, shared, sink: Some(sink), control: Rc::default() }
    }
}

impl Actor for SinkActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(sink) = self.sink.take() else { return };
        let writer = Writer::new(self.ctx.clone(), self.shared.clone(), sink, self.control.clone());
        ctx.spawn(writer.run().into_actor(self));
    }
}

impl Handler<Shutdown> for SinkActor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.control.stop.set(true);
        self.control.changed.notify_one();
    }
}

impl Handler<Flush> for SinkActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.control.flush.borrow_mut().push(done);
        self.control.changed.notify_one();
        Box::pin(async { drop(flushed.await) })
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<crate::InjectPanic> for SinkActor {
    type Result = ();

    fn handle(&mut self, _: crate::InjectPanic, _: &mut Self::Context) {
        self.control.panic.set(true);
        self.control.changed.notify_one();
    }
}
