//! The two hosts, which attach and detach tracers while the agent runs.
//!
//! A tracer's process belongs to the tracer's own actor, not to the host. So the supervisor keeps a separate status
//! for each child, and the crash of a host can't end all children. A host therefore owns only the set of its tracers
//! and, for each, a switch: whether the tracer is wanted, and whether it runs. It answers [`Attach`] and [`Detach`]
//! when the tracer has followed its switch. (The limit on commands that run at the same time is a semaphore that the
//! tracers share.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use actors::{ActorCtx, ActorLoop, Exit, LoopRef, Shutdown, clock};
use model::TracerName;
use model::lock::lock;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::watch;

/// Time that an attach waits, for a tracer that is between two restarts.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a detach waits for a tracer to end.
const DETACH_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a tracer that was detached. Answered when the tracer runs.
#[derive(Clone, Debug)]
pub struct Attach(
    /// Name of the tracer.
    pub TracerName,
);

impl Message for Attach {
    type Result = Result<(), HostError>;
}

/// Stops a tracer and its process. Answered when nothing of it runs any more.
#[derive(Clone, Debug)]
pub struct Detach(
    /// Name of the tracer.
    pub TracerName,
);

impl Message for Detach {
    type Result = Result<(), HostError>;
}

/// Reasons why a host could not attach or detach a tracer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// The host has no such tracer.
    #[error("there is no tracer {0} of this kind")]
    Unknown(TracerName),
    /// The tracer was started and ended at once.
    #[error("tracer {tracer} is not running: {cause}")]
    Ended {
        /// Name of the tracer.
        tracer: TracerName,
        /// First cause of its end.
        cause: String,
    },
    /// The tracer has not followed in time.
    #[error("timed out waiting for tracer {0}; see `duetector-actors status`")]
    Slow(TracerName),
    /// The host itself does not answer.
    #[error("tracer {tracer}: the actor that starts and stops it: {cause}")]
    Host {
        /// Name of the tracer to attach or detach.
        tracer: TracerName,
        /// Reason why the host did not answer.
        cause: actors::AskError,
    },
}

/// State that a host publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// Tracers that are detached.
    pub detached: BTreeSet<String>,
    /// Number of attach requests.
    pub attaches: u64,
    /// Number of detach requests.
    pub detaches: u64,
}

/// Signals between a host and one tracer: whether the tracer is wanted, and whether it runs. It outlives the
/// incarnations of both.
pub(crate) struct Switch {
    wanted: watch::Sender<bool>,
    attached: watch::Sender<bool>,
}

impl Switch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { wanted: watch::Sender::new(true), attached: watch::Sender::new(false) })
    }

    pub(crate) fn is_wanted(&self) -> bool {
        *self.wanted.borrow()
    }

    pub(crate) fn is_attached(&self) -> bool {
        *self.attached.borrow()
    }

    /// Makes a switch for the tracer that replaces this one: it is wanted if this one was.
    pub(crate) fn successor(&self) -> Arc<Self> {
        let successor = Self::new();
        successor.wanted.send_replace(self.is_wanted());
        successor
    }

    pub(crate) async fn until_wanted(&self, wanted: bool) {
        until(&self.wanted, wanted).await;
    }

    /// Marks the tracer as attached until the returned value is dropped.
    pub(crate) fn attach(self: &Arc<Self>) -> Attached {
        self.attached.send_replace(true);
        Attached(self.clone())
    }
}

pub(crate) struct Attached(Arc<Switch>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.attached.send_replace(false);
    }
}

pub(crate) async fn until(signal: &watch::Sender<bool>, value: bool) {
    // The sender is borrowed, so waiting can't fail.
    let _ = signal.subscribe().wait_for(|now| *now == value).await;
}

/// A tracer's actor and its switch.
pub(crate) struct Kept<L: ActorLoop> {
    pub(crate) child: LoopRef<L>,
    pub(crate) switch: Arc<Switch>,
}

impl<L: ActorLoop> Clone for Kept<L> {
    fn clone(&self) -> Self {
        Self { child: self.child.clone(), switch: self.switch.clone() }
    }
}

/// The tracers of a host, which change while the agent runs. Clones share the set; its lock is never held over an
/// await.
pub(crate) struct Set<L: ActorLoop> {
    tracers: Arc<Mutex<BTreeMap<TracerName, Kept<L>>>>,
}

impl<L: ActorLoop> Clone for Set<L> {
    fn clone(&self) -> Self {
        Self { tracers: self.tracers.clone() }
    }
}

impl<L: ActorLoop> Default for Set<L> {
    fn default() -> Self {
        Self { tracers: Arc::default() }
    }
}

impl<L: ActorLoop> Set<L> {
    pub(crate) fn get(&self, tracer: &TracerName) -> Option<Kept<L>> {
        self.lock().get(tracer).cloned()
    }

    pub(crate) fn add(&self, tracer: TracerName, kept: Kept<L>) {
        self.lock().insert(tracer, kept);
    }

    pub(crate) fn remove(&self, tracer: &TracerName) {
        self.lock().remove(tracer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TracerName, Kept<L>>> {
        // Each change is one call, so the map is consistent even after a panic.
        lock(&self.tracers)
    }
}

/// Actor that attaches and detaches tracers of type `L`.
pub struct Host<L: ActorLoop> {
    ctx: ActorCtx<HostState>,
    tracers: Set<L>,
}

impl<L: ActorLoop> Host<L> {
    pub(crate) fn new(ctx: ActorCtx<HostState>, tracers: Set<L>) -> Self {
        Self { ctx, tracers }
    }

    /// Sets the switch and waits until the tracer has followed. An attach also restarts a tracer that was given up or
    /// has finished: its cause may have been removed meanwhile.
    fn set_enabled(&self, tracer: TracerName, on: bool) -> ResponseFuture<Result<(), HostError>> {
        let Some(Kept { child, switch }) = self.tracers.get(&tracer) else {
            return Box::pin(async move { Err(HostError::Unknown(tracer)) });
        };
        switch.wanted.send_replace(on);
        if on && child.revive() {
            tracing::info!(tracer = %tracer, "tracer is started again");
        }
        Box::pin(async move {
            tokio::select! {
                biased;
                () = until(&switch.attached, on) => Ok(()),
                status = child.ended(), if on => {
                    let cause = status.first_cause.unwrap_or_else(|| "it has ended".to_owned());
                    Err(HostError::Ended { tracer, cause })
                }
                () = clock::sleep(if on { ATTACH_TIMEOUT } else { DETACH_TIMEOUT }) => Err(HostError::Slow(tracer)),
            }
        })
    }
}

impl<L: ActorLoop> Actor for Host<L> {
    type Context = Context<Self>;
}

impl<L: ActorLoop> Handler<Attach> for Host<L> {
    type Result = ResponseFuture<Result<(), HostError>>;

    fn handle(&mut self, Attach(tracer): Attach, _: &mut Self::Context) -> Self::Result {
        self.ctx.update(|state| {
            state.attaches += 1;
            state.detached.remove(tracer.as_str());
        });
        self.set_enabled(tracer, true)
    }
}

impl<L: ActorLoop> Handler<Detach> for Host<L> {
    type Result = ResponseFuture<Result<(), HostError>>;

    fn handle(&mut self, Detach(tracer): Detach, _: &mut Self::Context) -> Self::Result {
        self.ctx.update(|state| {
            state.detaches += 1;
            if self.tracers.get(&tracer).is_some() {
                state.detached.insert(tracer.as_str().to_owned());
            }
        });
        self.set_enabled(tracer, false)
    }
}

impl<L: ActorLoop> Handler<Shutdown> for Host<L> {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.ctx.end(Exit::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use actors::testkit::paused;
    use actors::{Phase, Spec, Supervisor};

    use super::*;
    use crate::{Config, ShellHost, ShellTracer};

    #[test]
    fn a_detached_tracer_is_not_taken_for_stalled_and_starts_when_attached() {
        paused(async {
            let mut config = Config::default();
            config.uname.comm = vec!["/no/such/program".to_owned()];
            let (name, settings) = (TracerName::new("uname"), Arc::new(config.shells().remove(0)));
            let (outbox, _inbox) = actors::Outbox::channel(1, actors::WhenFull::Block);
            let accounts = model::Accounts::new(&[]);
            let wiring = crate::Wiring { accounts, outbox, reserved: Default::default() };
            let (switch, supervisor) = (Switch::new(), Supervisor::new());
            switch.wanted.send_replace(false);
            let child = supervisor.spawn_loop(crate::shell::spec(&settings), {
                let (switch, shared) =
                    (switch.clone(), (Default::default(), Arc::new(tokio::sync::Semaphore::new(1))));
                move |ctx| {
                    ShellTracer::new(ctx, settings.clone(), wiring.clone(), switch.clone(), shared.clone())
                }
            });
            let kept = Set::default();
            kept.add(name.clone(), Kept { child: child.clone(), switch });
            let host = supervisor.spawn(Spec::new("host"), move |ctx| ShellHost::new(ctx, kept.clone()));
            clock::sleep(Duration::from_secs(600)).await;
            assert_eq!((child.status().phase, child.state().runs), (Phase::Running, 0));
            let refused = host.ask(Attach(name.clone())).await.unwrap();
            assert!(matches!(refused, Err(HostError::Ended { cause, .. }) if cause.contains("not found")));
            assert_eq!(child.status().phase, Phase::GivenUp);
            let again = host.ask(Attach(name.clone())).await.unwrap();
            assert!(matches!(again, Err(HostError::Ended { cause, .. }) if cause.contains("not found")));
            assert_eq!((child.status().phase, child.state().runs), (Phase::GivenUp, 2));
            assert_eq!(host.ask(Detach(name)).await, Ok(Ok(())));
            assert_eq!(host.ask(Detach("other".into())).await, Ok(Err(HostError::Unknown("other".into()))));
            host.stop().await;
        });
    }
}
