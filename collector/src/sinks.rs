//! Running sinks: how each is started, and the handle to it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actors::{AnyChild, AskError, ChildKind, LoopRef, Member, Outbox, Placement, Spec, Supervisor, clock};
use model::{Accounts, Routed, SinkId, SinkName, Subject};
use store::access::Access;

use crate::config::SinkConfig;
use crate::feed::Feed;
use crate::loss::Unwritten;
use crate::route::Route;
use crate::sink::gate::Gate;
use crate::sink::kind::{BuildContext, CarriedOver, SinkSpec, StoreRun};
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
    pub(crate) handle: SinkHandle,
    pub(crate) route: Arc<Route>,
    pub(crate) carried_over: CarriedOver,
}

/// How the sinks of the configuration are started and stopped.
pub(crate) struct Sinks {
    pub(crate) supervisor: Supervisor,
    pub(crate) accounts: Accounts,
    pub(crate) workdir: PathBuf,
    pub(crate) collector_id: String,
    pub(crate) access: Access,
    pub(crate) feed: Feed,
    pub(crate) store_run: StoreRun,
    /// Path of the file of the store that is not enabled, or only an additional output.
    pub(crate) other_store: PathBuf,
    pub(crate) gate: Gate,
}

impl Sinks {
    /// Returns whether sinks with these settings write to the same target.
    pub(crate) fn have_one_target(&self, one: &SinkConfig, two: &SinkConfig) -> bool {
        one.target(&self.workdir) == two.target(&self.workdir)
    }

    /// Builds a sink of the configuration. A sink that follows `before` on the same target takes over its id and state.
    pub(crate) fn describe(&self, sink: &SinkConfig, before: Option<&RunningSink>) -> (SinkId, SinkSpec) {
        let new_id = || self.accounts.new_sink_id(&sink.name(), sink.kind().role());
        // A sink that becomes the store, or is not any more, has accounts and a run of its own.
        let same = before.filter(|before| before.route.sink.role == sink.kind().role());
        let id = same.map_or_else(new_id, |before| before.route.sink.clone());
        let context = BuildContext {
            workdir: &self.workdir,
            collector_id: &self.collector_id,
            access: self.access,
            gate: &self.gate,
            before: &same.map(|before| before.carried_over.clone()).unwrap_or_default(),
            other_store: &self.other_store,
            store_run: &self.store_run,
        };
        (id, sink.kind().build(&context))
    }
}

impl ChildKind for Sinks {
    type Key = SinkName;
    type Settings = SinkConfig;
    type Child = RunningSink;
    type Error = Infallible;

    fn key(sink: &SinkConfig) -> SinkName {
        sink.name()
    }

    fn subject(sink: &SinkConfig, _: Option<&SinkConfig>) -> Subject {
        Subject::Sink(sink.name())
    }

    fn actor(sink: &RunningSink) -> &dyn AnyChild {
        &sink.handle.child
    }

    fn start(&self, sink: &SinkConfig, before: Option<&Member<Self>>) -> RunningSink {
        let before = before.filter(|before| self.have_one_target(&before.settings, sink));
        let before = before.and_then(|before| before.child.as_ref());
        let (id, spec) = self.describe(sink, before);
        start(&self.supervisor, (id, spec), &self.accounts, &self.feed, before)
    }

    /// Stops a sink; it writes what it has.
    async fn stop(&self, sink: &RunningSink) {
        sink.handle.leaving.store(true, Relaxed);
        sink.handle.child.stop().await;
    }
}

/// Starts one sink's actor with its own queue. The actor waits until the sink `before` on the same target has ended.
pub(crate) fn start(
    supervisor: &Supervisor,
    (id, spec): (SinkId, SinkSpec),
    accounts: &Accounts,
    feed: &Feed,
    before: Option<&RunningSink>,
) -> RunningSink {
    let SinkSpec { queue: (capacity, when_full), pace, make, carried_over } = spec;
    let (outbox, queue) = Outbox::channel(capacity as usize, when_full);
    let leaving = Arc::default();
    let shared = Arc::new(Shared {
        id: id.clone(),
        before: before.map(|before| Arc::new(before.handle.child.clone()) as Arc<dyn AnyChild>),
        leaving: Arc::clone(&leaving),
        input: queue.clone(),
        accounts: accounts.clone(),
        pace,
        unwritten: Unwritten::default(),
        feed: feed.clone(),
    });
    let name = id.name.clone();
    let child = supervisor.spawn_loop(child_spec(&format!("sink:{name}")), move |ctx| {
        SinkActor::new(ctx, shared.clone(), make())
    });
    let route = Arc::new(Route { sink: id, outbox, queue, child: child.clone() });
    RunningSink { handle: SinkHandle { name, child, leaving }, route, carried_over }
}

/// Starts a sink that is not in the configuration and gets its rows through the returned queue; for tests. Its
/// accounts must have begun.
pub fn spawn_sink(
    supervisor: &Supervisor,
    id: SinkId,
    spec: SinkSpec,
    accounts: &Accounts,
) -> (SinkHandle, Outbox<Routed>) {
    let sink = start(supervisor, (id, spec), accounts, &Feed::default(), None);
    (sink.handle, sink.route.outbox.clone())
}

/// Describes an actor of the write side.
pub(crate) fn child_spec(name: &str) -> Spec {
    Spec { placement: Placement::OwnThread, stop_timeout: STOP_TIMEOUT, last_try: true, ..Spec::new(name) }
}
