//! The two hosts, which attach and detach tracers while the agent runs.
//!
//! A tracer's process belongs to the tracer's own actor, not to the host. So the supervisor keeps a separate status
//! for each child, and the crash of a host can't end all children. Each tracer has a switch: whether it is wanted, and
//! whether it runs. A host sets the switch and answers `SetAttached` when the tracer has followed. (The limit on
//! commands that run at the same time is a semaphore that the tracers share.)

use std::collections::BTreeSet;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use actors::{ActorCtx, Exit, Shutdown, clock};
use model::TracerName;
use serde::Serialize;
use thiserror::Error;

use crate::tracer::Tracer;

/// Time that an attach waits, for a tracer that is between two restarts.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a detach waits for a tracer to end.
const DETACH_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a tracer that was detached, or stops it and its process. Answered when it runs, or nothing of it runs any more.
pub(crate) struct SetAttached {
    pub(crate) tracer: Tracer,
    pub(crate) on: bool,
}

impl Message for SetAttached {
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

/// Actor that attaches and detaches the tracers of one kind.
pub struct Host {
    ctx: ActorCtx<HostState>,
}

impl Host {
    pub(crate) fn new(ctx: ActorCtx<HostState>) -> Self {
        Self { ctx }
    }
}

impl Actor for Host {
    type Context = Context<Self>;
}

impl Handler<SetAttached> for Host {
    type Result = ResponseFuture<Result<(), HostError>>;

    /// Sets the switch and waits until the tracer has followed. An attach also restarts a tracer that was given up or
    /// has finished: its cause may have been removed meanwhile.
    fn handle(&mut self, SetAttached { tracer, on }: SetAttached, _: &mut Self::Context) -> Self::Result {
        let Tracer { name, child, switch, .. } = tracer;
        self.ctx.update(|state| {
            if on {
                state.attaches += 1;
                state.detached.remove(name.as_str());
            } else {
                state.detaches += 1;
                state.detached.insert(name.to_string());
            }
        });
        switch.wanted.send_replace(on);
        if on && child.revive() {
            tracing::info!(tracer = %name, "tracer is started again");
        }
        Box::pin(async move {
            tokio::select! {
                biased;
                () = switch.followed(on) => Ok(()),
                status = child.ended(), if on => {
                    let cause = status.first_cause.unwrap_or_else(|| "it has ended".to_owned());
                    Err(HostError::Ended { tracer: name, cause })
                }
                () = clock::sleep(if on { ATTACH_TIMEOUT } else { DETACH_TIMEOUT }) => Err(HostError::Slow(name)),
            }
        })
    }
}

impl Handler<Shutdown> for Host {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.ctx.end(Exit::Stopped);
    }
}
