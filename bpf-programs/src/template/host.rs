//! Actor `TemplateHost`: one template's object, from compiling it to its last record.
//!
//! It runs on a thread of its own and is nobody's but its template's: what goes wrong here harms no other tracer.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use actors::{Link, Outbox, Shutdown};
use model::{Account, Batch};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};

use super::config::TemplateConfig;
use super::work::Work;

/// What a template shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TemplateState {
    /// Its hooks are attached.
    pub attached: bool,
    /// The program's file.
    pub program: String,
    /// The hooks.
    pub hooks: Vec<String>,
    /// What does not work for want of a hook, and why.
    pub without: Vec<String>,
    /// The map its records come through.
    pub map: String,
    /// What is known about records that found that map full.
    pub ring_losses: String,
    /// Records decoded.
    pub decoded: u64,
    /// Records that could not be.
    pub decode_errors: u64,
    /// The latest fault: a record that could not be decoded, or why it can't run.
    pub last_error: Option<String>,
    /// What could be done about it.
    pub advice: Vec<String>,
}

/// Loads and attaches a template again, or detaches it; answered when that is done and, on detaching, all its
/// records have been handed over.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), String>")]
pub struct SetTemplateAttached(pub bool);

/// What all incarnations of a template's host share.
pub(super) struct Fixture {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) config: TemplateConfig,
    pub(super) account: Arc<Account>,
    pub(super) collector: Outbox<Batch>,
    /// It is meant to be attached: kept, so that one that was detached stays so when it is built anew.
    pub(super) wanted: Arc<AtomicBool>,
    /// The loaded object: it outlives an incarnation, with all that is in its buffer.
    pub(super) work: Mutex<Option<Work>>,
}

/// Runs one template. See the module.
pub struct TemplateHost {
    body: Rc<Body>,
}

/// Where an answer goes.
type Answer = oneshot::Sender<Result<(), String>>;

/// What the loop and the message handlers share.
pub(super) struct Body {
    pub(super) link: Link<TemplateState>,
    pub(super) fixture: Arc<Fixture>,
    pub(super) stopping: Cell<bool>,
    pub(super) panic_next: Cell<bool>,
    pub(super) wake: Notify,
    /// Who waits for it to be attached, or detached.
    pub(super) waiting: RefCell<Vec<(bool, Answer)>>,
}

impl TemplateHost {
    pub(super) fn new(link: Link<TemplateState>, fixture: Arc<Fixture>) -> Self {
        let (stopping, panic_next) = (Cell::new(false), Cell::new(false));
        let (wake, waiting) = (Notify::new(), RefCell::default());
        Self { body: Rc::new(Body { link, fixture, stopping, panic_next, wake, waiting }) }
    }
}

impl Actor for TemplateHost {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(self.body.clone().run().into_actor(self));
    }
}

impl Handler<Shutdown> for TemplateHost {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.body.stopping.set(true);
        self.body.wake.notify_one();
    }
}

impl Handler<SetTemplateAttached> for TemplateHost {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(
        &mut self,
        SetTemplateAttached(on): SetTemplateAttached,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.body.fixture.wanted.store(on, Relaxed);
        let (answer, answered) = oneshot::channel();
        self.body.waiting.borrow_mut().push((on, answer));
        self.body.wake.notify_one();
        Box::pin(async move {
            answered
                .await
                .unwrap_or_else(|_| Err("it ended before that was done: look at its status".to_owned()))
        })
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<crate::InjectPanic> for TemplateHost {
    type Result = ();

    fn handle(&mut self, _: crate::InjectPanic, _: &mut Self::Context) {
        self.body.panic_next.set(true);
    }
}
