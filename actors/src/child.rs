//! Handles to a supervised actor: [`ActorCtx`] for the actor itself, [`ChildRef`] for all others.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};
use futures::future::BoxFuture;
use model::lock::lock;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Notify, watch};

use crate::exit::ExitSlot;
use crate::{Exit, ExitCounts, Progress};

/// Asks an actor to finish its current work, flush, and end with [`ActorCtx::end`]`(Exit::Stopped)`.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown;

impl Message for Shutdown {
    type Result = ();
}

/// An actor that a supervisor can build, watch and stop: any actor that handles [`Shutdown`].
pub trait Child: Actor<Context = Context<Self>> + Handler<Shutdown> {}
impl<A: Actor<Context = Context<A>> + Handler<Shutdown>> Child for A {}

/// The state that an actor publishes for status, metrics and tests. Survives restarts.
pub trait State: Serialize + Clone + PartialEq + Default + Send + 'static {}
impl<S: Serialize + Clone + PartialEq + Default + Send + 'static> State for S {}

/// Phase of a child's life cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A new incarnation is being built.
    #[default]
    Starting,
    /// An incarnation runs.
    Running,
    /// The last incarnation crashed; the next one starts after a delay.
    BackingOff,
    /// Crashed too often, or for a reason that no restart fixes.
    GivenUp,
    /// Stopped on request.
    Stopped,
    /// Completed its work.
    Finished,
}

impl Phase {
    /// Returns whether a child in this phase will not run again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::GivenUp | Self::Stopped | Self::Finished)
    }
}

/// Status of a child: its phase, its exits and their causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildStatus {
    /// Phase the child is in.
    pub phase: Phase,
    /// Number of incarnations that ended in each way.
    pub exits: ExitCounts,
    /// The first fault, kept because later ones are often only its consequences.
    pub first_cause: Option<String>,
    /// The most recent fault.
    pub last_cause: Option<String>,
    /// Number of restarts.
    pub restarts: u64,
}

/// Data that survives a child's incarnations, shared by the supervisor, the actor and its observers.
pub(crate) struct Shared<A: Actor, S> {
    pub(crate) name: String,
    pub(crate) state: Arc<Mutex<S>>,
    pub(crate) status: watch::Sender<ChildStatus>,
    pub(crate) addr: watch::Sender<Option<Addr<A>>>,
    pub(crate) stop: watch::Sender<bool>,
    /// Wakes the supervisor for a revival; `None` if the child cannot be revived.
    pub(crate) revival: Option<Notify>,
}

/// An incarnation's handle to its supervisor: publishes state, marks progress, ends the incarnation.
pub struct ActorCtx<S> {
    name: Arc<str>,
    state: Arc<Mutex<S>>,
    progress: Progress,
    exit: ExitSlot,
}

impl<S> Clone for ActorCtx<S> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            state: self.state.clone(),
            progress: self.progress.clone(),
            exit: self.exit.clone(),
        }
    }
}

impl<S: State> ActorCtx<S> {
    pub(crate) fn new(name: &str, state: Arc<Mutex<S>>, progress: Progress, exit: ExitSlot) -> Self {
        Self { name: name.into(), state, progress, exit }
    }

    /// Returns the child's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes the published state.
    pub fn update(&self, change: impl FnOnce(&mut S)) {
        change(&mut lock(&self.state));
    }

    /// Returns a copy of the published state.
    pub fn read(&self) -> S {
        lock(&self.state).clone()
    }

    /// Returns the counters to mark progress on.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Ends this incarnation; can be called from anywhere. The actor is dropped at its next poll. The first call
    /// counts.
    pub fn end(&self, exit: Exit) {
        self.exit.set(exit);
    }

    /// Ends this incarnation with a fault that a restart may fix.
    pub fn fail(&self, cause: impl Display) {
        self.end(Exit::failed(cause));
    }

    /// Ends this incarnation with a fault that no restart fixes: a missing permission, a bad command.
    pub fn give_up(&self, cause: impl Display) {
        self.end(Exit::given_up(cause));
    }
}

/// Error of a message that got no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AskError {
    /// The child will not run again.
    #[error("{name} is not running: {}", cause.as_deref().unwrap_or("it has ended"))]
    Ended {
        /// The child's name.
        name: String,
        /// The child's first fault.
        cause: Option<String>,
    },
    /// The incarnation ended before it had answered.
    #[error("{name} exited before it had answered")]
    Exited {
        /// The child's name.
        name: String,
    },
}

/// A handle to a supervised actor. Clones refer to the same child.
pub struct ChildRef<A: Actor, S> {
    pub(crate) shared: Arc<Shared<A, S>>,
}

impl<A: Actor, S> Clone for ChildRef<A, S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<A: Child, S: State> ChildRef<A, S> {
    /// Returns the address of the running incarnation, if there is one.
    pub fn addr(&self) -> Option<Addr<A>> {
        self.shared.addr.borrow().clone()
    }

    /// Returns a copy of the state the actor has published.
    pub fn state(&self) -> S {
        lock(&self.shared.state).clone()
    }

    /// Returns the child's current status.
    pub fn status(&self) -> ChildStatus {
        self.shared.status.borrow().clone()
    }

    /// Sends a message to the running incarnation, or to the next one, and waits for the answer.
    ///
    /// # Errors
    /// When the child will not run again, or the incarnation ends before it has answered.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let addr = self.running().await?;
        addr.send(message).await.map_err(|_| AskError::Exited { name: self.shared.name.clone() })
    }

    /// Asks the child to stop and waits until it has.
    pub async fn stop(&self) -> ChildStatus {
        // Set under the status's lock, which `revive` holds from its check to its change.
        self.shared.status.send_modify(|_| {
            self.shared.stop.send_replace(true);
        });
        self.ended().await
    }

    /// Starts a child again that was given up or has finished, if its [`crate::Spec`] allows it; returns whether it
    /// did. Clears the causes, which describe earlier incarnations, and keeps the counts.
    pub fn revive(&self) -> bool {
        let Some(revival) = &self.shared.revival else { return false };
        let revived = self.shared.status.send_if_modified(|status| {
            let ended = matches!(status.phase, Phase::GivenUp | Phase::Finished);
            let revived = ended && !*self.shared.stop.borrow();
            if revived {
                (status.phase, status.first_cause, status.last_cause) = (Phase::Starting, None, None);
            }
            revived
        });
        if revived {
            revival.notify_one();
        }
        revived
    }

    /// Waits until the child will not run again.
    pub async fn ended(&self) -> ChildStatus {
        self.until(|status| status.phase.is_terminal()).await
    }

    /// Waits until the child's status satisfies `condition`.
    pub async fn until(&self, condition: impl FnMut(&ChildStatus) -> bool) -> ChildStatus {
        let mut status = self.shared.status.subscribe();
        let found = status.wait_for(condition).await.map(|status| status.clone());
        // The sender lives in `self.shared`, so waiting can't fail.
        found.unwrap_or_else(|_| self.status())
    }

    async fn running(&self) -> Result<Addr<A>, AskError> {
        let mut addr = self.shared.addr.subscribe();
        loop {
            if let Some(addr) = addr.borrow_and_update().clone() {
                return Ok(addr);
            }
            tokio::select! {
                _ = addr.changed() => {}
                status = self.ended() => {
                    return Err(AskError::Ended { name: self.shared.name.clone(), cause: status.first_cause });
                }
            }
        }
    }
}

/// A child of any actor type, for lists of children.
pub trait AnyChild: Send + Sync {
    /// Returns the child's name.
    fn name(&self) -> &str;
    /// Returns the child's current status.
    fn status(&self) -> ChildStatus;
    /// Returns the published state as JSON.
    fn state_json(&self) -> serde_json::Value;
    /// Starts a child again that was given up or has finished; see [`ChildRef::revive`].
    fn revive(&self) -> bool;
    /// Waits until the child will not run again.
    fn ended(&self) -> BoxFuture<'static, ChildStatus>;
    /// Asks the child to stop and waits until it has.
    fn stop(&self) -> BoxFuture<'static, ChildStatus>;
}

impl<A: Child, S: State> AnyChild for ChildRef<A, S> {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn status(&self) -> ChildStatus {
        ChildRef::status(self)
    }

    fn state_json(&self) -> serde_json::Value {
        serde_json::to_value(self.state()).unwrap_or(serde_json::Value::Null)
    }

    fn revive(&self) -> bool {
        ChildRef::revive(self)
    }

    fn ended(&self) -> BoxFuture<'static, ChildStatus> {
        let child = self.clone();
        Box::pin(async move { ChildRef::ended(&child).await })
    }

    fn stop(&self) -> BoxFuture<'static, ChildStatus> {
        let child = self.clone();
        Box::pin(async move { ChildRef::stop(&child).await })
    }
}
