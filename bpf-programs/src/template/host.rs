//! Actor `TemplateHost`: one template's object, from compiling it to its last record.
//!
//! Each template has a host of its own, on a thread of its own, so that a failure here affects no other tracer.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use actix::{Handler, Message, ResponseFuture};
use actors::{ActorLoop, Exit, LoopActor, LoopCtx, Outbox};
use model::{Account, Batch};
use serde::Serialize;
use tokio::sync::oneshot;

use super::config::TemplateConfig;
use super::work::Work;

/// State of a template, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TemplateState {
    /// True while its hooks are attached.
    pub attached: bool,
    /// The program's file.
    pub program: String,
    pub hooks: Vec<String>,
    /// Hooks that are missing, and what does not work without them.
    pub without: Vec<String>,
    /// The map its records come through.
    pub map: String,
    /// Explains how records that found that map full are counted.
    pub ring_losses: String,
    /// Number of decoded records.
    pub decoded: u64,
    /// Number of records that could not be decoded.
    pub decode_errors: u64,
    /// The latest error: a record that could not be decoded, or the reason why the template can't run.
    pub last_error: Option<String>,
    /// Possible remedies for that error.
    pub advice: Vec<String>,
}

/// Loads and attaches a template again, or detaches it; answered when that is done and, on detaching, all its
/// records have been handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetTemplateAttached(pub bool);

impl Message for SetTemplateAttached {
    type Result = Result<(), String>;
}

/// State that outlives an incarnation of a template's host.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) config: TemplateConfig,
    pub(super) account: Arc<Account>,
    pub(super) collector: Outbox<Batch>,
    /// True if the template is to be attached; a host that is rebuilt after a detach stays detached.
    pub(super) wanted: AtomicBool,
    /// The loaded object, which outlives an incarnation with all that is in its buffer.
    pub(super) work: Mutex<Option<Work>>,
}

/// Runs one template, see the module.
pub struct TemplateHost {
    control: Rc<Control>,
}

/// Receives the result of a request.
type Answer = oneshot::Sender<Result<(), String>>;

/// State that the loop and the message handlers share.
pub(super) struct Control {
    pub(super) ctx: LoopCtx<TemplateState>,
    pub(super) shared: Arc<Shared>,
    /// Pending requests to attach (true) or detach.
    pub(super) waiting: RefCell<Vec<(bool, Answer)>>,
}

impl TemplateHost {
    pub(super) fn new(ctx: LoopCtx<TemplateState>, shared: Arc<Shared>) -> Self {
        Self { control: Rc::new(Control { ctx, shared, waiting: RefCell::default() }) }
    }
}

impl ActorLoop for TemplateHost {
    type State = TemplateState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        self.control.clone().run()
    }
}

impl Handler<SetTemplateAttached> for LoopActor<TemplateHost> {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(
        &mut self,
        SetTemplateAttached(on): SetTemplateAttached,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.control.shared.wanted.store(on, Relaxed);
        let (answer, answered) = oneshot::channel();
        self.control.waiting.borrow_mut().push((on, answer));
        self.ctx().wake();
        Box::pin(async move {
            answered
                .await
                .unwrap_or_else(|_| Err("the tracer ended first; see `duetector-actors status`".to_owned()))
        })
    }
}
