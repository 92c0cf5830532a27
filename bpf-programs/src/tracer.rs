//! Actor `EbpfTracer`: decodes one tracer's raw batches and sends the records to the collector.
//!
//! Records that can't be decoded are counted as lost, with the first cause. A panic loses the batch being decoded. The
//! tracer's queue outlives the actor, so a restarted incarnation continues with the next batch.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actors::{ActorLoop, AskError, Exit, LoopCtx, LoopRef, Outbox, Phase, WhenFull, clock};
use model::{Account, Batch, LossPoint, Record};
use serde::Serialize;

use crate::errors::AttachError;
use crate::host::{Attach, EbpfHost, RawBatch};
use crate::kernel::Attached;
use crate::manifest::Manifest;
use crate::programs::Tracer;

/// Wait before a host that is being restarted is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// The tracer's state, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TracerState {
    /// True if the tracer's programs are attached.
    pub attached: bool,
    /// Tier of the hooks: 1 functions, 2 tracepoints, 3 kprobes; 0 before the tracer is attached.
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

/// State shared by all incarnations of a tracer.
pub(crate) struct Shared {
    pub(crate) tracer: &'static Tracer,
    pub(crate) account: Arc<Account>,
    pub(crate) host: LoopRef<EbpfHost>,
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
        host: &LoopRef<EbpfHost>,
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
    ctx: LoopCtx<TracerState>,
    shared: Arc<Shared>,
}

impl EbpfTracer {
    pub(crate) fn new(ctx: LoopCtx<TracerState>, shared: Arc<Shared>) -> Self {
        Self { control: Rc::new(Control { ctx, shared }) }
    }
}

impl ActorLoop for EbpfTracer {
    type State = TracerState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let control = self.control.clone();
        let attaches = control.shared.wanted.load(Relaxed);
        async move {
            let refused = async {
                match if attaches { control.attach_at_start().await } else { Ok(()) } {
                    Err(exit) => exit,
                    Ok(()) => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                exit = refused => exit,
                exit = control.run() => exit,
            }
        }
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
    async fn attach_at_start(&self) -> Result<(), Exit> {
        match self.attach().await {
            Ok(()) => Ok(()),
            // Disabled meanwhile: the one who disabled it stops it.
            Err(_) if !self.shared.wanted.load(Relaxed) => Ok(()),
            // At shutdown the host ends first.
            Err(NotAttached::NoHost(AskError::Ended { cause: None, .. })) => Ok(()),
            Err(cause) => {
                let advice = self.ctx.read().advice;
                tracing::error!(tracer = self.shared.tracer.name, %cause, ?advice, "tracer can't run");
                Err(self.given_up(cause).await)
            }
        }
    }

    async fn attach(&self) -> Result<(), NotAttached> {
        let Shared { tracer, account, host, queue, .. } = &*self.shared;
        let answer = loop {
            match host.ask(Attach { tracer, account: account.clone(), outbox: queue.0.clone() }).await {
                // The host is being restarted; the request is repeated until it is there.
                Err(AskError::Exited { .. }) if self.shared.wanted.load(Relaxed) => clock::sleep(RETRY).await,
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

    /// Reports a tracer that can't run in the manifest, and returns its exit.
    async fn given_up(&self, cause: impl std::fmt::Display) -> Exit {
        if let Some(manifest) = &self.shared.manifest {
            manifest.refused(cause.to_string()).await;
        }
        Exit::given_up(cause)
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

    /// Decodes batches until the tracer is stopped, then those left in the queue.
    async fn run(&self) -> Exit {
        let raw = self.shared.queue.1.clone();
        let mut host_ended = Box::pin(self.shared.host.ended());
        let (mut host_is_there, mut host_gone) = (true, None);
        loop {
            if (self.ctx.is_stopping() || host_gone.is_some()) && raw.is_empty() {
                return match host_gone {
                    Some(cause) if !self.ctx.is_stopping() => self.given_up(cause).await,
                    _ => Exit::Stopped,
                };
            }
            tokio::select! {
                batch = self.ctx.progress().marking(raw.recv_async()) => match batch {
                    Ok(batch) => self.pass_on(batch).await,
                    // Cannot happen: the shared state holds a sender.
                    Err(_) => return Exit::Finished,
                },
                () = self.ctx.woken() => {}
                status = &mut host_ended, if host_is_there => {
                    host_is_there = false;
                    if status.phase == Phase::GivenUp {
                        host_gone = Some(status.first_cause.unwrap_or_else(|| "the host ended".to_owned()));
                        self.show_fault(host_gone.clone(), self.shared.host.state().advice);
                    }
                }
            }
        }
    }

    async fn pass_on(&self, raw: RawBatch) {
        let batch = self.decode(raw);
        if !batch.records.is_empty()
            && self.ctx.progress().marking(self.shared.collector.send(batch)).await.is_err()
        {
            self.ctx.give_up("the collector has ended");
        }
    }

    fn decode(&self, mut raw: RawBatch) -> Batch {
        // From here on, a panic counts the batch as lost in decoding.
        raw.claim.enter(LossPoint::Decode);
        let (mut records, mut first_error): (Vec<Record>, _) =
            (Vec::with_capacity(raw.records().len()), None);
        for bytes in raw.records() {
            self.ctx.panic_if_asked();
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
