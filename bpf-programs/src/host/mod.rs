//! Actor `EbpfHost`: owns the loaded object and its rings, reads them, hands each tracer its raw records.
//!
//! It runs on a thread of its own. Control (attach, detach, stop) comes through the mailbox and is answered
//! between two stretches of reading, however much is in the rings.

mod batch;
mod core;
mod desk;
mod handover;
mod port;
mod run;
mod seat;
mod seating;
mod source;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, WrapFuture};
use actors::{Link, Outbox, Shutdown};
use model::Account;
use model::pushdown::Split;
use serde::Serialize;
use std::sync::Arc;

pub(crate) use batch::Cut;
pub use batch::RawBatch;
pub(crate) use handover::Handover;
use run::Shared;
pub(crate) use seat::Seat;
pub use source::Attached;
pub(crate) use source::{Count, Footing, Missing, Ring, Source};

use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::rules::Lowered;

/// What the host shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// Tracers that are attached.
    pub attached: Vec<String>,
    /// Processes that were there when the object was loaded.
    pub processes: usize,
    /// What the process table lacks for want of hooks, and why: rows may be without working folder, executable or container.
    pub without: Vec<String>,
    /// Lifecycle records that found their ring full, so that the process table may miss something.
    pub lifecycle_lost: u64,
    /// Records too short or of an unknown kind.
    pub malformed: u64,
    /// Lifecycle records that could not be read for the process table.
    pub unreadable: u64,
    /// A tracer's queue is full: records are left in their ring.
    pub blocked: bool,
    /// How often the rings are looked at when there is little in them.
    pub look_interval_ms: u64,
    /// What filters dropped in the kernel, by filter.
    pub filtered: BTreeMap<String, u64>,
    /// How each filter is split between kernel and collector.
    pub splits: Vec<Split>,
    /// What could be done about its failure, if it failed.
    pub advice: Vec<String>,
    /// How it stands with rings that outlive the agent, if they are wanted.
    pub pin: Option<PinState>,
}

/// Rings that outlive the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PinState {
    /// Their name in the store; none if they can't be pinned.
    pub pin: Option<String>,
    /// Where they are pinned.
    pub folder: Option<String>,
    /// A predecessor made them, and this run goes on with them.
    pub adopted: bool,
    /// Why what a predecessor left could not be gone on with.
    pub refused: Option<String>,
    /// Why they can't be pinned.
    pub problem: Option<String>,
}

/// Attaches a tracer: its raw records go into this queue and these books from now on. Again: they are replaced. Its
/// programs are loaded if they aren't yet.
#[derive(Message)]
#[rtype(result = "Result<Attached, AttachError>")]
pub struct Attach {
    /// Which.
    pub tracer: &'static Tracer,
    /// Its books. Others than before only once it is detached.
    pub account: Arc<Account>,
    /// Where its records go.
    pub outbox: Outbox<RawBatch>,
}

/// Detaches a tracer; answered when what the kernel held of it has been handed over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Detach {
    /// Which.
    pub tracer: &'static Tracer,
}

/// Sets how often the rings are looked at when there is little in them: lower while somebody watches live.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SetLookInterval(pub Duration);

/// Records from now on only what these users do; none: what everybody does.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SetUids(pub Vec<u32>);

/// From now on what these rules hold for is dropped in the kernel.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SetRules(pub(crate) Arc<Lowered>);

/// Owns the loaded object. See the module.
pub struct EbpfHost {
    link: Link<HostState>,
    shared: Rc<Shared>,
}

impl EbpfHost {
    pub(crate) fn new(link: Link<HostState>, handover: Arc<Handover>) -> Self {
        Self { shared: Rc::new(Shared::new(link.clone(), handover)), link }
    }
}

impl Actor for EbpfHost {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let begun = {
            let _zone = self.link.progress().zone("loading the eBPF object");
            self.shared.begin()
        };
        match begun {
            Ok(()) => {
                ctx.spawn(self.shared.clone().run().into_actor(self));
            }
            Err(cause) => {
                let advice = cause.advice();
                tracing::error!(%cause, ?advice, "no kernel tracer can run");
                self.link.update(|state| state.advice = advice);
                self.link.give_up(cause);
            }
        }
    }
}

impl Handler<Attach> for EbpfHost {
    type Result = MessageResult<Attach>;

    fn handle(&mut self, Attach { tracer, account, outbox }: Attach, _: &mut Self::Context) -> Self::Result {
        let _zone = self.link.progress().zone("attaching a tracer");
        MessageResult(self.shared.attach(tracer, &account, outbox))
    }
}

impl Handler<Detach> for EbpfHost {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Detach { tracer }: Detach, _: &mut Self::Context) -> Self::Result {
        let drained = self.shared.detach(tracer);
        Box::pin(async move {
            // The other end is dropped only with the host, and then there is nothing left to wait for.
            let _ = drained.await;
        })
    }
}

impl Handler<SetLookInterval> for EbpfHost {
    type Result = ();

    fn handle(&mut self, SetLookInterval(interval): SetLookInterval, _: &mut Self::Context) {
        self.shared.set_interval(interval);
    }
}

impl Handler<SetUids> for EbpfHost {
    type Result = ();

    fn handle(&mut self, SetUids(uids): SetUids, _: &mut Self::Context) {
        self.shared.set_uids(&uids);
    }
}

impl Handler<SetRules> for EbpfHost {
    type Result = ();

    fn handle(&mut self, SetRules(rules): SetRules, _: &mut Self::Context) {
        self.shared.set_rules(&rules);
    }
}

impl Handler<Shutdown> for EbpfHost {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.shared.stop();
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pinned;
