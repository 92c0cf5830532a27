//! Actor `EbpfTracer`: decodes one tracer's raw batches and sends the records to the collector.
//!
//! Records that can't be decoded are counted as lost, with the first cause. A panic loses the batch being decoded. The
//! tracer's queue outlives the actor, so a restarted incarnation continues with the next batch.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use actors::{ActorCtx, AskError, ChildRef, Exit, Outbox, Phase, Shutdown, WhenFull, clock};
use model::{Account, Batch, LossPoint, Record};
use serde::Serialize;
use tokio::sync::Notify;

use crate::host::{Attach, Attached, Detach, EbpfHost, HostState, RawBatch};
use crate::loader::AttachError;
use crate::manifest::Manifest;
use crate::programs::Tracer;

/// Maximum time between two marks of progress.
const MARK: Duration = Duration::from_millis(500);

/// The tracer's state, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TracerState {
    /// True if the tracer's programs are attached.
    pub attached: bool,
    /// Tier of the hooks: 1 trampolines, 2 tracepoints, 3 kprobes; 0 before the tracer is attached.
    pub tier: u8,
    /// Names of the hooks.
    pub hooks: Vec<String>,
    /// Functions that are missing for lack of a hook, each with the cause.
    pub without: Vec<String>,
    /// Number of records decoded.
    pub decoded: u64,
    /// Number of records that could not be decoded.
    pub decode_errors: u64,
    /// The latest error: of decoding a record, or the kernel's error of attaching.
    pub last_error: Option<String>,
    /// Suggestions for an administrator.
    pub advice: Vec<String>,
}

/// Attaches the tracer again, or detaches it; answered when that is done and, on detaching, all its records have been
/// passed on.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), String>")]
pub struct SetAttached(pub bool);

/// Makes the tracer panic while decoding the next batch.
#[cfg(feature = "fault-injection")]
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct InjectPanic;

/// State shared by all incarnations of a tracer.
pub(crate) struct Shared {
    pub(crate) tracer: &'static Tracer,
    pub(crate) account: Arc<Account>,
    pub(crate) host: ChildRef<EbpfHost, HostState>,
    /// Queue of raw batches from the host.
    pub(crate) queue: (Outbox<RawBatch>, flume::Receiver<RawBatch>),
    pub(crate) collector: Outbox<Batch>,
    /// True if the tracer is to be attached. A detached tracer stays detached when it is restarted.
    pub(crate) wanted: Arc<AtomicBool>,
    /// Emits the tracer's rows of tracer `manifest`, if enabled.
    pub(crate) manifest: Option<Manifest>,
}

impl Shared {
    /// Creates the state of a tracer to be attached, with a queue for `queue` raw batches.
    pub(crate) fn new(
        tracer: &'static Tracer,
        account: Arc<Account>,
        host: &ChildRef<EbpfHost, HostState>,
        queue: usize,
        collector: &Outbox<Batch>,
        manifest: Option<Manifest>,
    ) -> Self {
        Self {
            tracer,
            account,
            host: host.clone(),
            queue: Outbox::channel(queue, WhenFull::Block),
            collector: collector.clone(),
            wanted: Arc::new(AtomicBool::new(true)),
            manifest,
        }
    }
}

/// The actor that decodes one tracer's records; see the module documentation.
pub struct EbpfTracer {
    control: Rc<Control>,
}

/// State of one incarnation, shared by its loop and its message handlers.
struct Control {
    ctx: ActorCtx<TracerState>,
    shared: Arc<Shared>,
    stopping: Cell<bool>,
    panic_next: Cell<bool>,
    wake: Notify,
}

impl EbpfTracer {
    pub(crate) fn new(ctx: ActorCtx<TracerState>, shared: Arc<Shared>) -> Self {
        let (stopping, panic_next) = (Cell::new(false), Cell::new(false));
        Self { control: Rc::new(Control { ctx, shared, stopping, panic_next, wake: Notify::new() }) }
    }
}

impl Actor for EbpfTracer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.control.shared.wanted.load(Relaxed) {
            let control = self.control.clone();
            ctx.spawn(async move { control.attach_at_start().await }.into_actor(self));
        }
        ctx.spawn(self.control.clone().run().into_actor(self));
    }
}

impl Handler<Shutdown> for EbpfTracer {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.control.stopping.set(true);
        self.control.wake.notify_one();
    }
}

impl Handler<SetAttached> for EbpfTracer {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, SetAttached(on): SetAttached, _: &mut Self::Context) -> Self::Result {
        let control = self.control.clone();
        Box::pin(async move {
            control.shared.wanted.store(on, Relaxed);
            if on {
                control.attach().await.map_err(|cause| cause.to_string())
            } else {
                control.detach().await
            }
        })
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<InjectPanic> for EbpfTracer {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Self::Context) {
        self.control.panic_next.set(true);
    }
}

/// Error of attaching a tracer.
#[derive(Debug, thiserror::Error)]
enum NotAttached {
    #[error(transparent)]
    Refused(#[from] AttachError),
    #[error(transparent)]
    NoHost(AskError),
}

impl Control {
    async fn attach_at_start(&self) {
        match self.attach().await {
            Ok(()) => {}
            // Disabled meanwhile: the one who disabled it stops it.
            Err(_) if !self.shared.wanted.load(Relaxed) => {}
            // At shutdown the host ends first.
            Err(NotAttached::NoHost(AskError::Ended { cause: None, .. })) => {}
            Err(cause) => {
                let advice = self.ctx.read().advice;
                tracing::error!(tracer = self.shared.tracer.name, %cause, ?advice, "tracer can't run");
                self.give_up(cause).await;
            }
        }
    }

    async fn attach(&self) -> Result<(), NotAttached> {
        let Shared { tracer, account, host, queue, .. } = &*self.shared;
        let answer = loop {
            match host.ask(Attach { tracer, account: account.clone(), outbox: queue.0.clone() }).await {
                // The host is being restarted; the request is repeated until it is there.
                Err(AskError::Exited { .. }) if self.shared.wanted.load(Relaxed) => clock::sleep(MARK).await,
                Err(ended) => break Err((NotAttached::NoHost(ended), host.state().advice)),
                Ok(Err(cause)) => {
                    let advice = cause.advice();
                    break Err((cause.into(), advice));
                }
                Ok(Ok(attached)) => break Ok(attached),
            }
        };
        match answer {
            Ok(attached) => {
                if let Some(manifest) = &self.shared.manifest {
                    manifest.attached(&attached).await;
                }
                self.show_attached(attached);
                Ok(())
            }
            Err((cause, advice)) => {
                self.show_fault(Some(cause.to_string()), advice);
                Err(cause)
            }
        }
    }

    /// Gives up the tracer, and reports it in the manifest.
    async fn give_up(&self, cause: impl std::fmt::Display) {
        if let Some(manifest) = &self.shared.manifest {
            manifest.refused(cause.to_string()).await;
        }
        self.ctx.give_up(cause);
    }

    fn show_fault(&self, cause: Option<String>, advice: Vec<String>) {
        self.ctx.update(|state| {
            state.last_error = cause;
            state.advice = advice;
        });
    }

    fn show_attached(&self, attached: Attached) {
        for without in &attached.without {
            tracing::warn!(tracer = self.shared.tracer.name, without, "tracer runs without");
        }
        self.ctx.update(|state| {
            state.attached = true;
            state.tier = attached.tier;
            state.hooks = attached.hooks;
            state.without = attached.without;
        });
    }

    async fn detach(&self) -> Result<(), String> {
        let Shared { tracer, host, .. } = &*self.shared;
        host.ask(Detach { tracer }).await.map_err(|cause| cause.to_string())?;
        self.ctx.update(|state| {
            state.attached = false;
            state.hooks.clear();
        });
        Ok(())
    }

    /// Decodes batches until the tracer is stopped, then those left in the queue.
    async fn run(self: Rc<Self>) {
        let raw = self.shared.queue.1.clone();
        let mut host_ended = Box::pin(self.shared.host.ended());
        let (mut host_is_there, mut host_gone) = (true, None);
        loop {
            self.ctx.progress().mark();
            if (self.stopping.get() || host_gone.is_some()) && raw.is_empty() {
                return match host_gone {
                    Some(cause) if !self.stopping.get() => self.give_up(cause).await,
                    _ => self.ctx.end(Exit::Stopped),
                };
            }
            tokio::select! {
                batch = raw.recv_async() => match batch {
                    Ok(batch) => self.pass_on(batch).await,
                    // Cannot happen: the shared state holds a sender.
                    Err(_) => return self.ctx.end(Exit::Finished),
                },
                () = self.wake.notified() => {}
                status = &mut host_ended, if host_is_there => {
                    host_is_there = false;
                    if status.phase == Phase::GivenUp {
                        host_gone = Some(status.first_cause.unwrap_or_else(|| "the host ended".to_owned()));
                        self.show_fault(host_gone.clone(), self.shared.host.state().advice);
                    }
                }
                () = clock::sleep(clock::until_tick(MARK)) => {}
            }
        }
    }

    async fn pass_on(&self, raw: RawBatch) {
        let batch = self.decode(raw);
        if batch.records.is_empty() {
            return;
        }
        let mut sent = Box::pin(self.shared.collector.send(batch));
        loop {
            tokio::select! {
                done = &mut sent => {
                    if done.is_err() {
                        self.ctx.give_up("the collector has ended");
                    }
                    return;
                }
                // Waiting for room is not a hang.
                () = clock::sleep(MARK) => self.ctx.progress().mark(),
            }
        }
    }

    fn decode(&self, mut raw: RawBatch) -> Batch {
        // From here on, a panic counts the batch as lost in decoding.
        raw.claim.enter(LossPoint::Decode);
        let (mut records, mut first_error): (Vec<Record>, _) =
            (Vec::with_capacity(raw.records().len()), None);
        for bytes in raw.records() {
            assert!(!self.panic_next.get(), "injected: panic while decoding");
            match (self.shared.tracer.decode)(bytes) {
                Ok(record) => records.push(record),
                Err(cause) => drop(first_error.get_or_insert(cause)),
            }
        }
        let mut claim = raw.into_claim();
        let (decoded, errors) = (records.len() as u64, claim.count() - records.len() as u64);
        let error = first_error.map(|cause| cause.to_string());
        if let Some(cause) = &error {
            tracing::warn!(
                tracer = self.shared.tracer.name,
                count = errors,
                cause,
                "records could not be decoded"
            );
            claim.lose(errors, cause);
        }
        claim.enter(LossPoint::Queue);
        self.ctx.update(|state| {
            state.decoded += decoded;
            state.decode_errors += errors;
            state.last_error = error.or(state.last_error.take());
        });
        Batch { claim, records }
    }
}
