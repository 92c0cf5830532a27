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

use std::sync::Arc;

use actix::{Handler, Message, ResponseFuture};
use actors::{ActorLoop, Exit, LoopActor, LoopCtx};
use tokio::sync::oneshot;

use super::Sink;
pub(crate) use shared::Shared;
pub use shared::SinkState;
use work::{Flushes, Writer};

/// Asks a sink to write everything that is queued; answered when all of it is written or lost.
#[derive(Clone, Copy, Debug)]
pub struct Flush;

impl Message for Flush {
    type Result = ();
}

/// Actor that writes the rows of one sink.
pub struct SinkActor {
    writer: Option<Writer>,
    flushes: Flushes,
}

impl SinkActor {
    pub(crate) fn new(ctx: LoopCtx<SinkState>, shared: Arc<Shared>, sink: Box<dyn Sink>) -> Self {
        let flushes = Flushes::default();
        Self { writer: Some(Writer::new(ctx, shared, sink, flushes.clone())), flushes }
    }
}

impl ActorLoop for SinkActor {
    type State = SinkState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let writer = self.writer.take();
        async move {
            match writer {
                Some(writer) => writer.run().await,
                None => Exit::Finished,
            }
        }
    }
}

impl Handler<Flush> for LoopActor<SinkActor> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.flushes.borrow_mut().push(done);
        self.ctx().wake();
        Box::pin(async { drop(flushed.await) })
    }
}
