//! Actor `EbpfTracer`: one tracer's raw batches in, checked records out.
//!
//! What it can't decode is lost, counted and named; a panic costs the batch in hand. Its queue outlives it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use actors::{AskError, ChildRef, Exit, Link, Outbox, Phase, Shutdown, WhenFull, clock};
use model::{Account, Batch, Place, Record};
use serde::Serialize;
use tokio::sync::Notify;

use crate::host::{Attach, Attached, Detach, EbpfHost, HostState, RawBatch};
use crate::loader::AttachError;
use crate::manifest::Manifest;
use crate::programs::Tracer;

/// Progress is marked at least this often.
const MARK: Duration = Duration::from_millis(500);

/// What a tracer shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TracerState {
    /// Its hooks are attached.
    pub attached: bool,
    /// Which tier of hooks it uses: 1 trampolines, 2 tracepoints, 3 kprobes; 0 before it is attached.
    pub tier: u8,
    /// The hooks.
    pub hooks: Vec<String>,
    /// What does not work for want of a hook, and why.
    pub without: Vec<String>,
    /// Records decoded.
    pub decoded: u64,
    /// Records that could not be.
    pub decode_errors: u64,
    /// The latest fault: a record that could not be decoded, or why it can't be attached, in the kernel's words.
    pub last_error: Option<String>,
    /// What could be done about it.
    pub advice: Vec<String>,
}

/// Attaches the tracer again, or detaches it; answered when that is done and, on detaching, all its records have
/// been handed over.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), String>")]
pub struct SetAttached(pub bool);

/// Panics while it decodes the next batch.
#[cfg(feature = "fault-injection")]
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct InjectPanic;

/// What all incarnations of a tracer share.
pub(crate) struct Fixture {
    pub(crate) tracer: &'static Tracer,
    pub(crate) account: Arc<Account>,
    pub(crate) host: ChildRef<EbpfHost, HostState>,
    /// Where the host puts raw batches, and where they come out.
    pub(crate) queue: (Outbox<RawBatch>, flume::Receiver<RawBatch>),
    pub(crate) collector: Outbox<Batch>,
    /// It is meant to be attached: kept, so that one that was detached stays so when it is built anew.
    pub(crate) wanted: Arc<AtomicBool>,
    /// Tells the store what it runs with.
    pub(crate) manifest: Option<Manifest>,
}

impl Fixture {
    /// A tracer that is to be attached, with a queue for so many raw batches.
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

/// Decodes one tracer's records. See the module.
pub struct EbpfTracer {
    body: Rc<Body>,
}

struct Body {
    link: Link<TracerState>,
    fixture: Arc<Fixture>,
    stopping: Cell<bool>,
    panic_next: Cell<bool>,
    wake: Notify,
}

impl EbpfTracer {
    pub(crate) fn new(link: Link<TracerState>, fixture: Arc<Fixture>) -> Self {
        let (stopping, panic_next) = (Cell::new(false), Cell::new(false));
        Self { body: Rc::new(Body { link, fixture, stopping, panic_next, wake: Notify::new() }) }
    }
}

impl Actor for EbpfTracer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.body.fixture.wanted.load(Relaxed) {
            let body = self.body.clone();
            ctx.spawn(async move { body.attach_at_start().await }.into_actor(self));
        }
        ctx.spawn(self.body.clone().run().into_actor(self));
    }
}

impl Handler<Shutdown> for EbpfTracer {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.body.stopping.set(true);
        self.body.wake.notify_one();
    }
}

impl Handler<SetAttached> for EbpfTracer {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, SetAttached(on): SetAttached, _: &mut Self::Context) -> Self::Result {
        let body = self.body.clone();
        Box::pin(async move {
            body.fixture.wanted.store(on, Relaxed);
            if on { body.attach().await.map_err(|cause| cause.to_string()) } else { body.detach().await }
        })
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<InjectPanic> for EbpfTracer {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Self::Context) {
        self.body.panic_next.set(true);
    }
}

/// Why a tracer is not attached.
#[derive(Debug, thiserror::Error)]
enum NotAttached {
    #[error(transparent)]
    Refused(#[from] AttachError),
    #[error(transparent)]
    NoHost(AskError),
}

impl Body {
    async fn attach_at_start(&self) {
        match self.attach().await {
            Ok(()) => {}
            // Not wanted any more: whoever said so stops it.
            Err(_) if !self.fixture.wanted.load(Relaxed) => {}
            // At shutdown the host goes first.
            Err(NotAttached::NoHost(AskError::Ended { cause: None, .. })) => {}
            Err(cause) => {
                let advice = self.link.read().advice;
                tracing::error!(tracer = self.fixture.tracer.name, %cause, ?advice, "tracer can't run");
                self.give_up(cause).await;
            }
        }
    }

    async fn attach(&self) -> Result<(), NotAttached> {
        let Fixture { tracer, account, host, queue, .. } = &*self.fixture;
        let answer = loop {
            match host.ask(Attach { tracer, account: account.clone(), outbox: queue.0.clone() }).await {
                // It is being built anew; the question is asked again as soon as it is there.
                Err(AskError::Fell { .. }) if self.fixture.wanted.load(Relaxed) => clock::sleep(MARK).await,
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
                if let Some(manifest) = &self.fixture.manifest {
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

    /// It is given up: the store is to know as well.
    async fn give_up(&self, cause: impl std::fmt::Display) {
        if let Some(manifest) = &self.fixture.manifest {
            manifest.refused(cause.to_string()).await;
        }
        self.link.give_up(cause);
    }

    fn show_fault(&self, cause: Option<String>, advice: Vec<String>) {
        self.link.update(|state| {
            state.last_error = cause;
            state.advice = advice;
        });
    }

    fn show_attached(&self, attached: Attached) {
        for without in &attached.without {
            tracing::warn!(tracer = self.fixture.tracer.name, without, "tracer runs without");
        }
        self.link.update(|state| {
            state.attached = true;
            state.tier = attached.tier;
            state.hooks = attached.hooks;
            state.without = attached.without;
        });
    }

    async fn detach(&self) -> Result<(), String> {
        let Fixture { tracer, host, .. } = &*self.fixture;
        host.ask(Detach { tracer }).await.map_err(|cause| cause.to_string())?;
        self.link.update(|state| {
            state.attached = false;
            state.hooks.clear();
        });
        Ok(())
    }

    /// Decodes batches until told to stop, then what is left.
    async fn run(self: Rc<Self>) {
        let raw = self.fixture.queue.1.clone();
        let mut host_ended = Box::pin(self.fixture.host.ended());
        let (mut host_is_there, mut host_gone) = (true, None);
        loop {
            self.link.progress().mark();
            if (self.stopping.get() || host_gone.is_some()) && raw.is_empty() {
                return match host_gone {
                    Some(cause) if !self.stopping.get() => self.give_up(cause).await,
                    _ => self.link.end(Exit::Stopped),
                };
            }
            tokio::select! {
                batch = raw.recv_async() => match batch {
                    Ok(batch) => self.pass_on(batch).await,
                    // Can't be: the fixture holds a sender.
                    Err(_) => return self.link.end(Exit::Finished),
                },
                () = self.wake.notified() => {}
                status = &mut host_ended, if host_is_there => {
                    host_is_there = false;
                    if status.phase == Phase::GivenUp {
                        host_gone = Some(status.first_cause.unwrap_or_else(|| "the host ended".to_owned()));
                        self.show_fault(host_gone.clone(), self.fixture.host.state().advice);
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
        let mut sent = Box::pin(self.fixture.collector.send(batch));
        loop {
            tokio::select! {
                done = &mut sent => {
                    if done.is_err() {
                        self.link.give_up("the collector is gone for good");
                    }
                    return;
                }
                // Waiting for room is no stall.
                () = clock::sleep(MARK) => self.link.progress().mark(),
            }
        }
    }

    fn decode(&self, mut raw: RawBatch) -> Batch {
        // From here on a panic books the batch as lost in decoding.
        raw.claim.enter(Place::Decode);
        let (mut records, mut first_error): (Vec<Record>, _) =
            (Vec::with_capacity(raw.records().len()), None);
        for bytes in raw.records() {
            assert!(!self.panic_next.get(), "injected: panic while decoding");
            match (self.fixture.tracer.decode)(bytes) {
                Ok(record) => records.push(record),
                Err(cause) => drop(first_error.get_or_insert(cause)),
            }
        }
        let mut claim = raw.into_claim();
        let (decoded, errors) = (records.len() as u64, claim.count() - records.len() as u64);
        let error = first_error.map(|cause| cause.to_string());
        if let Some(cause) = &error {
            tracing::warn!(
                tracer = self.fixture.tracer.name,
                count = errors,
                cause,
                "records could not be decoded"
            );
            claim.lose(errors, cause);
        }
        claim.enter(Place::Queue);
        self.link.update(|state| {
            state.decoded += decoded;
            state.decode_errors += errors;
            state.last_error = error.or(state.last_error.take());
        });
        Batch { claim, records }
    }
}
