//! The actor, and the messages it answers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Handler, Message, MessageResult, ResponseFuture};
use actors::{ActorLoop, Exit, LoopActor, LoopCtx, Outbox};
use model::Account;

use super::batch::RawBatch;
use super::handover::Handover;
use super::run::Shared;
use super::state::HostState;
use crate::errors::AttachError;
use crate::kernel::Attached;
use crate::lowered::Lowered;
use crate::programs::Tracer;

/// Attaches a tracer: from now on its raw records go into `outbox` and are counted in `account`. Attaching again replaces
/// both. The tracer's programs are loaded if they are not loaded yet.
pub(crate) struct Attach {
    /// The tracer to attach.
    pub tracer: &'static Tracer,
    /// Account of the tracer's records. It may change only while the tracer is detached.
    pub account: Arc<Account>,
    /// Queue that receives the records.
    pub outbox: Outbox<RawBatch>,
}

impl Message for Attach {
    type Result = Result<Attached, AttachError>;
}

/// Detaches a tracer; answered when all records the kernel still held of it have been passed on.
pub(crate) struct Detach {
    /// The tracer to detach.
    pub tracer: &'static Tracer,
}

impl Message for Detach {
    type Result = ();
}

/// Sets the interval at which quiet rings are polled. It is lowered while someone follows events live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetPollInterval(pub Duration);

impl Message for SetPollInterval {
    type Result = ();
}

/// Restricts recording to these users from now on; an empty list records every user.
#[derive(Clone, Debug)]
pub(crate) struct SetUids(pub Vec<u32>);

impl Message for SetUids {
    type Result = ();
}

/// Replaces the filter rules: records that match them are dropped in the kernel from now on.
#[derive(Clone, Debug)]
pub(crate) struct SetRules(pub(crate) Arc<Lowered>);

impl Message for SetRules {
    type Result = ();
}

/// Removes everything that is pinned, for this reason. Tracers go on recording.
pub(crate) struct Unpin(pub String);

impl Message for Unpin {
    type Result = ();
}

/// The actor that owns the loaded object; see the module documentation.
pub(crate) struct EbpfHost {
    shared: Rc<Shared>,
}

impl EbpfHost {
    pub(crate) fn new(ctx: LoopCtx<HostState>, handover: Arc<Handover>) -> Self {
        Self { shared: Rc::new(Shared::new(ctx, handover)) }
    }
}

impl ActorLoop for EbpfHost {
    type State = HostState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        // Before the first message: an attach needs the object.
        let begun = self.shared.begin();
        let shared = self.shared.clone();
        async move {
            match begun {
                Ok(()) => shared.run().await,
                Err(exit) => exit,
            }
        }
    }
}

impl Handler<Attach> for LoopActor<EbpfHost> {
    type Result = MessageResult<Attach>;

    fn handle(&mut self, Attach { tracer, account, outbox }: Attach, _: &mut Self::Context) -> Self::Result {
        let _zone = self.ctx().progress().zone("attaching a tracer");
        MessageResult(self.shared.attach(tracer, &account, outbox))
    }
}

impl Handler<Detach> for LoopActor<EbpfHost> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Detach { tracer }: Detach, _: &mut Self::Context) -> Self::Result {
        let drained = self.shared.detach(tracer);
        Box::pin(async move {
            // The sender is dropped only with the host, and then nothing is left to wait for.
            let _ = drained.await;
        })
    }
}

impl Handler<SetPollInterval> for LoopActor<EbpfHost> {
    type Result = ();

    fn handle(&mut self, SetPollInterval(interval): SetPollInterval, _: &mut Self::Context) {
        self.shared.set_interval(interval);
    }
}

impl Handler<SetUids> for LoopActor<EbpfHost> {
    type Result = ();

    fn handle(&mut self, SetUids(uids): SetUids, _: &mut Self::Context) {
        self.shared.with_core(|core| core.kernel.settings.change(|settings| settings.set_uids(&uids)));
    }
}

impl Handler<Unpin> for LoopActor<EbpfHost> {
    type Result = ();

    fn handle(&mut self, Unpin(why): Unpin, _: &mut Self::Context) {
        self.shared.unpin(why);
    }
}

impl Handler<SetRules> for LoopActor<EbpfHost> {
    type Result = ();

    fn handle(&mut self, SetRules(rules): SetRules, _: &mut Self::Context) {
        self.shared.with_core(|core| core.kernel.set_rules(&rules, &core.demux.table));
        self.ctx().update(|state| state.splits.clone_from(&rules.splits));
    }
}
