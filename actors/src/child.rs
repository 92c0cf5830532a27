//! A supervised actor, seen from inside ([`ActorCtx`]) and from outside ([`ChildRef`]).

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Notify, watch};

use crate::driver::ExitSlot;
use crate::{Exit, ExitCounts, Progress};

/// Asks an actor to finish what it has in hand, flush, and end with [`ActorCtx::end`]`(Exit::Stopped)`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// What the supervisor can build, watch and stop: any actor that understands [`Shutdown`].
pub trait Child: Actor<Context = Context<Self>> + Handler<Shutdown> {}
impl<A: Actor<Context = Context<A>> + Handler<Shutdown>> Child for A {}

/// What an actor shows of itself: the one value that status, metrics and tests read. It outlives restarts.
pub trait State: Serialize + Clone + PartialEq + Default + Send + 'static {}
impl<S: Serialize + Clone + PartialEq + Default + Send + 'static> State for S {}

/// Where a child stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Being built.
    #[default]
    Starting,
    /// At work.
    Running,
    /// Fell, and waits for its next try.
    BackingOff,
    /// Fell too often, or for a reason no restart mends.
    GivenUp,
    /// Was asked to stop, and has.
    Stopped,
    /// Did what it was for.
    Finished,
}

impl Phase {
    /// It will not run again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::GivenUp | Self::Stopped | Self::Finished)
    }
}

/// A child's story so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildStatus {
    /// Where it stands.
    pub phase: Phase,
    /// How its incarnations ended.
    pub exits: ExitCounts,
    /// The first fault of all, kept: later ones are often only its consequences.
    pub first_cause: Option<String>,
    /// The latest fault.
    pub last_cause: Option<String>,
    /// How often it was built anew.
    pub restarts: u64,
}

/// What survives a child's incarnations, shared by supervisor, actor and whoever observes.
pub(crate) struct Shared<A: Actor, S> {
    pub(crate) name: String,
    pub(crate) state: Arc<Mutex<S>>,
    pub(crate) status: watch::Sender<ChildStatus>,
    pub(crate) addr: watch::Sender<Option<Addr<A>>>,
    pub(crate) stop: watch::Sender<bool>,
    /// Of a child that can be started again.
    pub(crate) revival: Option<Notify>,
}

/// An incarnation's ctx to its supervisor.
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

    /// The child's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes what the actor shows of itself.
    pub fn update(&self, change: impl FnOnce(&mut S)) {
        change(&mut lock(&self.state));
    }

    /// What the actor shows of itself.
    pub fn read(&self) -> S {
        lock(&self.state).clone()
    }

    /// Where to mark progress.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Ends this incarnation, from anywhere: the actor is dropped at its next poll. The first call counts.
    pub fn end(&self, exit: Exit) {
        self.exit.set(exit);
    }

    /// Ends it with a fault that another try may mend.
    pub fn fail(&self, cause: impl Display) {
        self.end(Exit::Failed { cause: cause.to_string(), retry: true });
    }

    /// Ends it with a fault that no restart mends: a missing permission, a bad command.
    pub fn give_up(&self, cause: impl Display) {
        self.end(Exit::Failed { cause: cause.to_string(), retry: false });
    }
}

/// Why a question got no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AskError {
    /// The child will not run again.
    #[error("{name} does not run: {}", cause.as_deref().unwrap_or("it has ended"))]
    Ended {
        /// Its name.
        name: String,
        /// Its first fault.
        cause: Option<String>,
    },
    /// It fell while it answered.
    #[error("{name} exited while answering")]
    Exited {
        /// Its name.
        name: String,
    },
}

/// A supervised actor from outside. Clones refer to the same child.
pub struct ChildRef<A: Actor, S> {
    pub(crate) shared: Arc<Shared<A, S>>,
}

impl<A: Actor, S> Clone for ChildRef<A, S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<A: Child, S: State> ChildRef<A, S> {
    /// The address of the incarnation at work, if there is one.
    pub fn addr(&self) -> Option<Addr<A>> {
        self.shared.addr.borrow().clone()
    }

    /// What the actor shows of itself.
    pub fn state(&self) -> S {
        lock(&self.shared.state).clone()
    }

    /// Where it stands.
    pub fn status(&self) -> ChildStatus {
        self.shared.status.borrow().clone()
    }

    /// Asks the incarnation at work, or the next one, and waits for the answer.
    ///
    /// # Errors
    /// When the child will not run again, or falls before it has answered.
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

    /// Asks it to stop and waits until it has.
    pub async fn stop(&self) -> ChildStatus {
        // Under the status's lock, so that nobody revives it between the look and the deed.
        self.shared.status.send_modify(|_| {
            self.shared.stop.send_replace(true);
        });
        self.ended().await
    }

    /// Starts a child again that was given up or has finished, if its [`crate::Spec`] lets it; says whether it did. Its
    /// causes are forgotten, for they are those of the life before; its counts go on.
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

    /// Waits until it will not run again.
    pub async fn ended(&self) -> ChildStatus {
        self.until(|status| status.phase.is_terminal()).await
    }

    /// Waits until its status satisfies `condition`.
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

/// A child of any kind: for lists.
pub trait AnyChild: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// Where it stands.
    fn status(&self) -> ChildStatus;
    /// What it shows of itself.
    fn state_json(&self) -> serde_json::Value;
    /// Asks it to stop and waits until it has.
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

    fn stop(&self) -> BoxFuture<'static, ChildStatus> {
        let child = self.clone();
        Box::pin(async move { ChildRef::stop(&child).await })
    }
}

/// A state stays readable after a panic: at worst one update is half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
