//! Actor `EbpfHost`: owns the loaded eBPF object and its ring buffers, reads them, and passes each tracer its raw records.
//!
//! All kernel tracers share two rings, so the host demultiplexes: `Demux` finds the `TracerChannel` of a record
//! by the kind in its header. A channel appends the bytes to the batch in progress and counts them; a full batch goes into
//! the tracer's bounded queue. Lifecycle records (exec, clone, exit, …) also update the process table; they are read before
//! the data records that were written after them.
//!
//! ```text
//!  lifecycle ring ──┐           ┌─ by kind ─▶ TracerChannel(exec) ─▶ BatchBuilder ─▶ queue ─▶ EbpfTracer(exec)
//!                   ├─▶ Demux ──┤
//!  data ring ───────┘     │     └─ by kind ─▶ TracerChannel(open) ─▶ BatchBuilder ─▶ queue ─▶ EbpfTracer(open)
//!                         └─ lifecycle records ─▶ process table
//! ```
//!
//! A queue that is full holds back the data ring: its records stay in the ring, and the kernel counts what no longer fits.
//! Lifecycle records are read regardless, for the process table; their batches wait in bounded memory.
//!
//! With pinned rings the host also keeps positions. A record's room is returned to the kernel only when the store has
//! committed its row; `TracerChannel::held_from` is the lowest position that is still needed:
//!
//! ```text
//!  released            held_from                cursor             produced
//!     │ committed          │ rows not committed    │ not read yet      │
//!  ───┴────────────────────┴───────────────────────┴───────────────────┴──▶ position in the ring
//! ```
//!
//! After a crash the next agent opens the same ring and starts at the position that the store has recorded.
//!
//! The actor runs on a thread of its own. Control messages (attach, detach, stop) are answered between two slices of
//! reading, however much is in the rings. `Handover` passes the object from a crashed incarnation to the next.

mod batch;
mod core;
mod demux;
mod handover;
mod run;
mod slots;
mod source;
mod tracer_channel;
mod tracer_slot;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use actix::{Handler, Message, MessageResult, ResponseFuture};
use actors::{ActorLoop, Exit, LoopActor, LoopCtx, Outbox};
use model::Account;
use model::pushdown::Split;
use serde::Serialize;
use std::sync::Arc;

pub(crate) use batch::BatchBuilder;
pub use batch::RawBatch;
pub(crate) use handover::Handover;
use run::Shared;
pub use source::Attached;
pub(crate) use source::{Count, Missing, PinInfo, Ring, Source};
pub(crate) use tracer_slot::TracerSlot;

use crate::loader::AttachError;
use crate::programs::Tracer;
use crate::rules::Lowered;

/// The host's state, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// Names of the attached tracers.
    pub attached: Vec<String>,
    /// Number of processes that existed when the object was loaded.
    pub processes: usize,
    /// Parts of the process table that are missing because a hook could not be attached, each with the cause. Rows may
    /// then lack working directory, executable or container.
    pub without: Vec<String>,
    /// Lifecycle records lost because their ring was full; the process table may be incomplete.
    pub lifecycle_lost: u64,
    /// Records too short or of an unknown kind.
    pub malformed: u64,
    /// Lifecycle records that could not be read for the process table.
    pub unreadable: u64,
    /// True while a tracer's queue is full and records stay in their ring.
    pub blocked: bool,
    /// Interval at which the rings are polled when there is little in them.
    pub poll_interval_ms: u64,
    /// The former name of `poll_interval_ms`, with the same value.
    #[serde(rename = "look_interval_ms")]
    pub former_interval_ms: u64,
    /// Records that filters dropped in the kernel, by filter.
    pub filtered: BTreeMap<String, u64>,
    /// For each filter, which part the kernel decides and which the collector.
    pub splits: Vec<Split>,
    /// Suggestions for an administrator, if the host failed.
    pub advice: Vec<String>,
    /// State of pinned rings, if pinning is enabled.
    pub pin: Option<PinState>,
}

impl HostState {
    /// Sets the poll interval under its present and its former name.
    fn set_poll_interval(&mut self, interval: Duration) {
        self.poll_interval_ms = interval.as_millis() as u64;
        self.former_interval_ms = self.poll_interval_ms;
    }
}

/// State of the rings that are pinned in bpffs and outlive the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PinState {
    /// Name of the pin in the store; `None` if pinning failed.
    pub pin: Option<String>,
    /// Directory in bpffs that holds the pins.
    pub folder: Option<String>,
    /// True if an earlier agent created the rings and this one resumed them.
    pub adopted: bool,
    /// Reason why the rings of an earlier agent could not be resumed.
    pub refused: Option<String>,
    /// Reason why the rings can't be pinned.
    pub problem: Option<String>,
}

/// Attaches a tracer: from now on its raw records go into `outbox` and are counted in `account`. Attaching again replaces
/// both. The tracer's programs are loaded if they are not loaded yet.
pub struct Attach {
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
pub struct Detach {
    /// The tracer to detach.
    pub tracer: &'static Tracer,
}

impl Message for Detach {
    type Result = ();
}

/// Sets the interval at which quiet rings are polled. It is lowered while someone follows events live.
#[derive(Clone, Copy, Debug)]
pub struct SetPollInterval(pub Duration);

impl Message for SetPollInterval {
    type Result = ();
}

/// Restricts recording to these users from now on; an empty list records every user.
#[derive(Clone, Debug)]
pub struct SetUids(pub Vec<u32>);

impl Message for SetUids {
    type Result = ();
}

/// Replaces the filter rules: records that match them are dropped in the kernel from now on.
#[derive(Clone, Debug)]
pub(crate) struct SetRules(pub(crate) Arc<Lowered>);

impl Message for SetRules {
    type Result = ();
}

/// The actor that owns the loaded object; see the module documentation.
pub struct EbpfHost {
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
        self.shared.set_uids(&uids);
    }
}

impl Handler<SetRules> for LoopActor<EbpfHost> {
    type Result = ();

    fn handle(&mut self, SetRules(rules): SetRules, _: &mut Self::Context) {
        self.shared.set_rules(&rules);
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pinned;
