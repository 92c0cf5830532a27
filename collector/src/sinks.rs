//! Running sinks: how each is started, and the handle to it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actors::{AskError, LoopRef, Outbox, Placement, Spec, Supervisor, clock};
use model::{Accounts, Routed, SinkId, SinkName};
use tokio::sync::watch;

use crate::config::SinkConfig;
use crate::loss::Unwritten;
use crate::route::Route;
use crate::sink::kind::{CarriedOver, SinkSpec};
use crate::sink::writer::{Flush, Shared, SinkActor, SinkState};

/// Delay before asking again an actor that crashed while it was asked.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(10);
/// Time that a stopped actor has to write what is queued.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Handle to a sink. Clones refer to the same sink.
#[derive(Clone)]
pub struct SinkHandle {
    pub name: SinkName,
    /// The sink's actor.
    pub child: LoopRef<SinkActor>,
    /// True once the sink is being removed while other sinks stay.
    pub(crate) leaving: Arc<AtomicBool>,
}

impl SinkHandle {
    /// Returns the state that the sink publishes.
    pub fn state(&self) -> SinkState {
        self.child.state()
    }

    /// Waits until all rows sent to the sink so far are written or lost.
    pub async fn flush(&self) {
        // If the sink crashes while it flushes, only the rows it held are lost; its next incarnation is asked to
        // flush the rest.
        while let Err(AskError::Exited { .. }) = self.child.ask(Flush).await {
            clock::sleep(ASK_AGAIN).await;
        }
    }
}

/// A running sink, with the state that a successor on the same target takes over.
#[derive(Clone)]
pub(crate) struct RunningSink {
    /// Settings of a sink of the configuration; `None` for the host of a child.
    pub(crate) config: Option<SinkConfig>,
    pub(crate) handle: SinkHandle,
    pub(crate) route: Arc<Route>,
    pub(crate) carried_over: CarriedOver,
}

/// Starts one sink's actor with its own queue. The actor waits until its target is `free`.
pub(crate) fn start(
    supervisor: &Supervisor,
    config: Option<SinkConfig>,
    id: SinkId,
    spec: SinkSpec,
    accounts: &Accounts,
    free: watch::Receiver<bool>,
) -> RunningSink {
    let SinkSpec { queue: (capacity, when_full), pace, make, carried_over } = spec;
    let (outbox, queue) = Outbox::channel(capacity as usize, when_full);
    let leaving = Arc::default();
    let shared = Arc::new(Shared {
        id: id.clone(),
        free,
        leaving: Arc::clone(&leaving),
        input: queue.clone(),
        accounts: accounts.clone(),
        pace,
        unwritten: Unwritten::default(),
    });
    let name = id.name.clone();
    let child = supervisor.spawn_loop(child_spec(&format!("sink:{name}")), move |ctx| {
        SinkActor::new(ctx, shared.clone(), make())
    });
    let route = Arc::new(Route { sink: id, outbox, queue, child: child.clone() });
    RunningSink { config, handle: SinkHandle { name, child, leaving }, route, carried_over }
}

/// Starts a sink that is not in the configuration and gets its rows through the returned queue; for tests. Its
/// accounts must have begun.
pub fn spawn_sink(
    supervisor: &Supervisor,
    id: SinkId,
    spec: SinkSpec,
    accounts: &Accounts,
) -> (SinkHandle, Outbox<Routed>) {
    let sink = start(supervisor, None, id, spec, accounts, watch::channel(true).1);
    (sink.handle, sink.route.outbox.clone())
}

/// Describes an actor of the write side.
pub(crate) fn child_spec(name: &str) -> Spec {
    Spec { placement: Placement::OwnThread, stop_timeout: STOP_TIMEOUT, last_try: true, ..Spec::new(name) }
}
