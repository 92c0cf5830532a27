//! Sends rows to the sinks: every sink gets every row, each through its own queue.

use std::sync::Arc;

use actors::{ChildStatus, Outbox, Phase};
use flume::Receiver;
use futures::future::BoxFuture;
use model::{LossPoint, Routed, SinkClaim, SinkId, Tracking};

/// Queue to one sink, and the means to see whether the sink still runs.
pub(crate) struct Route {
    pub(crate) sink: SinkId,
    pub(crate) outbox: Outbox<Routed>,
    /// The sink's end of the queue, to empty it when the sink will not run again.
    pub(crate) queue: Receiver<Routed>,
    pub(crate) watch: Arc<dyn Watch>,
}

/// Reports whether a sink will read its queue again.
pub(crate) trait Watch: Send + Sync {
    fn status(&self) -> ChildStatus;
    fn ended(&self) -> BoxFuture<'static, ()>;
}

impl<A: actors::Child, S: actors::State> Watch for actors::ChildRef<A, S> {
    fn status(&self) -> ChildStatus {
        actors::ChildRef::status(self)
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        let child = self.clone();
        Box::pin(async move { drop(actors::ChildRef::ended(&child).await) })
    }
}

impl Route {
    /// Sends rows to the sink. Returns false if the sink will not run again; the rows then count as lost in its
    /// queue.
    pub(crate) async fn send(&self, claim: Option<SinkClaim>, rows: Arc<[Tracking]>) -> bool {
        let routed = Routed { claim, rows };
        if self.watch.status().phase.is_terminal() {
            self.give_back(routed);
            return false;
        }
        // The common case first: the queue has room.
        let Err(routed) = self.outbox.offer(routed) else { return true };
        let sending = self.outbox.send(routed);
        tokio::select! {
            sent = sending => sent.is_ok(),
            () = self.watch.ended() => {
                self.drain();
                false
            }
        }
    }

    /// Counts what is queued as lost if the sink will not run again.
    pub(crate) fn settle(&self) {
        if self.watch.status().phase.is_terminal() {
            self.drain();
        }
    }

    fn give_back(&self, mut routed: Routed) {
        if let Some(claim) = &mut routed.claim {
            claim.enter(LossPoint::Queue);
            claim.lose(claim.count(), self.cause());
        }
        self.drain();
    }

    /// Counts everything in the queue as lost.
    fn drain(&self) {
        while let Ok(mut routed) = self.queue.try_recv() {
            if let Some(claim) = &mut routed.claim {
                claim.lose(claim.count(), self.cause());
            }
        }
    }

    fn cause(&self) -> &'static str {
        match self.watch.status().phase {
            Phase::GivenUp => "the sink was given up",
            _ => "the sink has ended",
        }
    }
}
