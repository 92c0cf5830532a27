//! The two hosts: who may attach and detach a tracer while the agent runs.
//!
//! A tracer's process belongs to the tracer's own actor, not to the host: so the supervisor tells one child's
//! story apart from another's, and no host's fall can take down all children. What is left for a host to own is
//! little, and this is all of it: which tracers there are now, whether each is wanted, and the answer to whoever
//! changes that. (The bound on commands that run side by side is a semaphore its tracers share.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use actors::{Child, ChildRef, Exit, Link, Shutdown, State, clock};
use model::TracerName;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::watch;

/// A tracer that is between two tries may take this long to be attached.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than its tracers take to end a host waits for a detach.
const DETACH_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a tracer that was detached. Answered when it runs.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), HostError>")]
pub struct Attach(
    /// Its name.
    pub TracerName,
);

/// Stops a tracer, its process too. Answered when nothing of it runs.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), HostError>")]
pub struct Detach(
    /// Its name.
    pub TracerName,
);

/// Why a host could not do as asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// It has no such tracer.
    #[error("no tracer {0} on this host")]
    Unknown(TracerName),
    /// The tracer was tried and fell at once.
    #[error("tracer {tracer} does not run: {cause}")]
    Ended {
        /// Its name.
        tracer: TracerName,
        /// Its first fault.
        cause: String,
    },
    /// The tracer is not there yet.
    #[error("tracer {0} takes its time: look at its status")]
    Slow(TracerName),
    /// The host itself does not answer.
    #[error("host of tracer {tracer}: {cause}")]
    Host {
        /// The tracer asked about.
        tracer: TracerName,
        /// The kit's words.
        cause: actors::AskError,
    },
}

/// What a host shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// Tracers that are not to run now.
    pub detached: BTreeSet<String>,
    /// Attaches asked for while running.
    pub attaches: u64,
    /// Detaches asked for while running.
    pub detaches: u64,
}

/// Between a host and one tracer. It outlives the incarnations of both.
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

    /// One for the tracer that takes the place of this one's: as wanted as that was.
    pub(crate) fn heir(&self) -> Arc<Self> {
        let heir = Self::new();
        heir.wanted.send_replace(self.is_wanted());
        heir
    }

    pub(crate) async fn until_wanted(&self, wanted: bool) {
        until(&self.wanted, wanted).await;
    }

    /// Says that the tracer is attached for as long as the answer lives.
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

/// A tracer as its host knows it.
pub(crate) struct Kept<A: Actor, S> {
    pub(crate) child: ChildRef<A, S>,
    pub(crate) switch: Arc<Switch>,
}

impl<A: Actor, S> Clone for Kept<A, S> {
    fn clone(&self) -> Self {
        Self { child: self.child.clone(), switch: self.switch.clone() }
    }
}

/// A host's tracers: a set that changes while the agent runs. Clones share it; it is never held over an await.
pub(crate) struct Set<A: Actor, S> {
    tracers: Arc<Mutex<BTreeMap<TracerName, Kept<A, S>>>>,
}

impl<A: Actor, S> Clone for Set<A, S> {
    fn clone(&self) -> Self {
        Self { tracers: self.tracers.clone() }
    }
}

impl<A: Actor, S> Default for Set<A, S> {
    fn default() -> Self {
        Self { tracers: Arc::default() }
    }
}

impl<A: Actor, S> Set<A, S> {
    pub(crate) fn get(&self, tracer: &TracerName) -> Option<Kept<A, S>> {
        self.lock().get(tracer).cloned()
    }

    pub(crate) fn add(&self, tracer: TracerName, kept: Kept<A, S>) {
        self.lock().insert(tracer, kept);
    }

    pub(crate) fn remove(&self, tracer: &TracerName) {
        self.lock().remove(tracer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TracerName, Kept<A, S>>> {
        // Each change is one call: the map is whole though somebody panicked.
        self.tracers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A host of tracers `A`.
pub struct Host<A: Actor, S> {
    link: Link<HostState>,
    tracers: Set<A, S>,
}

impl<A: Child, S: State> Host<A, S> {
    pub(crate) fn new(link: Link<HostState>, tracers: Set<A, S>) -> Self {
        Self { link, tracers }
    }

    /// Sets the switch and waits until the tracer has followed it. One that was given up, or has finished, is
    /// started again: whoever attaches it has mended what was wrong, or wants to see whether it still is.
    fn turn(&self, tracer: TracerName, on: bool) -> ResponseFuture<Result<(), HostError>> {
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

impl<A: Child, S: State> Actor for Host<A, S> {
    type Context = Context<Self>;
}

impl<A: Child, S: State> Handler<Attach> for Host<A, S> {
    type Result = ResponseFuture<Result<(), HostError>>;

    fn handle(&mut self, Attach(tracer): Attach, _: &mut Self::Context) -> Self::Result {
        self.link.update(|state| {
            state.attaches += 1;
            state.detached.remove(tracer.as_str());
        });
        self.turn(tracer, true)
    }
}

impl<A: Child, S: State> Handler<Detach> for Host<A, S> {
    type Result = ResponseFuture<Result<(), HostError>>;

    fn handle(&mut self, Detach(tracer): Detach, _: &mut Self::Context) -> Self::Result {
        self.link.update(|state| {
            state.detaches += 1;
            if self.tracers.get(&tracer).is_some() {
                state.detached.insert(tracer.as_str().to_owned());
            }
        });
        self.turn(tracer, false)
    }
}

impl<A: Child, S: State> Handler<Shutdown> for Host<A, S> {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.link.end(Exit::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use actors::testkit::paused;
    use actors::{Phase, Spec, Supervisor};

    use super::*;
    use crate::{Config, ShellHost, ShellTracer};

    #[test]
    fn a_detached_tracer_rests_without_being_taken_for_stalled_until_it_is_attached() {
        paused(async {
            let mut config = Config::default();
            config.uname.comm = vec!["/no/such/program".to_owned()];
            let (name, settings) = (TracerName::new("uname"), Arc::new(config.shells().remove(0)));
            let (outbox, _inbox) = actors::Outbox::channel(1, actors::WhenFull::Block);
            let accounts = model::Accounts::new(&[]);
            let wiring = crate::Wiring { accounts, outbox, reserved: Default::default() };
            let (switch, supervisor) = (Switch::new(), Supervisor::new());
            switch.wanted.send_replace(false);
            let child = supervisor.spawn(crate::shell::spec(&settings), {
                let (switch, shared) =
                    (switch.clone(), (Default::default(), Arc::new(tokio::sync::Semaphore::new(1))));
                move |link| {
                    ShellTracer::new(link, settings.clone(), wiring.clone(), switch.clone(), shared.clone())
                }
            });
            let kept = Set::default();
            kept.add(name.clone(), Kept { child: child.clone(), switch });
            let host = supervisor.spawn(Spec::new("host"), move |link| ShellHost::new(link, kept.clone()));
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
