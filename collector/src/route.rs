//! Sends rows to the sinks: every sink gets every row, each through its own queue.

use std::sync::Arc;

use actors::{LoopRef, Outbox, Phase};
use flume::Receiver;
use model::{LossPoint, Role, Routed, SinkClaim, SinkId, Tracking};

use crate::sink::writer::SinkActor;

/// Queue to one sink, and its actor.
pub(crate) struct Route {
    pub(crate) sink: SinkId,
    pub(crate) outbox: Outbox<Routed>,
    /// The sink's end of the queue, to empty it when the sink will not run again.
    pub(crate) queue: Receiver<Routed>,
    pub(crate) child: LoopRef<SinkActor>,
}

impl Route {
    /// Returns whether the sink is the store.
    pub(crate) fn is_store(&self) -> bool {
        self.sink.role == Role::Store
    }

    /// Sends rows to the sink. Returns false if the sink will not run again; the rows then count as lost in its
    /// queue.
    pub(crate) async fn send(&self, claim: Option<SinkClaim>, rows: Arc<[Tracking]>, bytes: usize) -> bool {
        let routed = Routed { claim, rows, bytes };
        if self.child.status().phase.is_terminal() {
            self.give_back(routed);
            return false;
        }
        // The common case first: the queue has room.
        let Err(routed) = self.outbox.offer(routed) else { return true };
        let sending = self.outbox.send(routed);
        tokio::select! {
            sent = sending => sent.is_ok(),
            _ = self.child.ended() => {
                self.drain();
                false
            }
        }
    }

    /// Counts what is queued as lost if the sink will not run again.
    pub(crate) fn settle(&self) {
        if self.child.status().phase.is_terminal() {
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
        match self.child.status().phase {
            Phase::GivenUp => "the sink was given up",
            _ => "the sink has ended",
        }
    }
}
