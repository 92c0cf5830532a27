//! Starts the write side: the queues, the collector, and one actor per sink.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::{AnyChild, AskError, ChildRef, Outbox, Placement, Spec, Supervisor, WhenFull, clock};
use futures::future::BoxFuture;
use model::{
    Accounts, Batch, Problem, ProcessTable, Remembered, Routed, SinkId, SinkName, TracerName, Tracking,
};
use thiserror::Error;
use tokio::sync::watch;

use crate::collector::{self, Collector, CollectorState};
use crate::config::CollectorConfig;
use crate::enrich::runtime::Names;
use crate::filter::{Filters, FiltersConfig};
use crate::live_routing::LiveRouting;
use crate::loss::Unwritten;
use crate::pipeline::Pipeline;
use crate::route::Route;
use crate::sink::sqlite;
use crate::sink::writer::{self, Flush, Pace, SinkActor, SinkState};
use crate::sink::{Sink, SinkError, Trouble};
use crate::sinks::{self, CarriedOver, RunningSink};

/// Handle to the write side. Clones refer to the same one.
#[derive(Clone)]
pub struct CollectorHandle {
    /// Queue to which tracers send batches.
    pub outbox: Outbox<Batch>,
    /// The collector. Stop it after all sources.
    pub collector: ChildRef<Collector, CollectorState>,
    /// Collector id that rows are stored under.
    pub collector_id: String,
    pub(crate) inner: Arc<Inner>,
}

/// State shared by all clones of the handle.
pub(crate) struct Inner {
    pub(crate) supervisor: Supervisor,
    pub(crate) accounts: Accounts,
    pub(crate) workdir: PathBuf,
    pub(crate) routing: Arc<LiveRouting>,
    present: Mutex<Present>,
    /// Held while sinks or filters change: one change at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// The configuration in force and the sinks made from it.
pub(crate) struct Present {
    pub(crate) config: CollectorConfig,
    pub(crate) filters: FiltersConfig,
    /// Sinks in the order in which rows are offered, the store first.
    pub(crate) sinks: Vec<RunningSink>,
}

impl Inner {
    pub(crate) fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handle to a sink. Clones refer to the same sink.
#[derive(Clone)]
pub struct SinkHandle {
    pub name: SinkName,
    /// The sink's actor.
    pub child: Arc<dyn AnyChild>,
    control: Arc<dyn SinkControl>,
    /// True once the sink is being removed while other sinks stay.
    pub(crate) leaving: Arc<AtomicBool>,
}

/// Requests that every sink's actor answers, whatever the kind of sink.
trait SinkControl: Send + Sync {
    fn state(&self) -> SinkState;
    fn flush(&self) -> BoxFuture<'static, ()>;
    #[cfg(feature = "fault-injection")]
    fn inject_panic(&self) -> BoxFuture<'static, ()>;
}

impl<S: Sink + Unpin> SinkControl for ChildRef<SinkActor<S>, SinkState> {
    fn state(&self) -> SinkState {
        ChildRef::state(self)
    }

    fn flush(&self) -> BoxFuture<'static, ()> {
        let child = self.clone();
        // If the sink crashes while it flushes, only the rows it held are lost; its next incarnation is asked to
        // flush the rest.
        Box::pin(async move {
            while let Err(AskError::Exited { .. }) = child.ask(Flush).await {
                clock::sleep(ASK_AGAIN).await;
            }
        })
    }

    #[cfg(feature = "fault-injection")]
    fn inject_panic(&self) -> BoxFuture<'static, ()> {
        let child = self.clone();
        Box::pin(async move { drop(child.ask(crate::InjectPanic).await) })
    }
}

impl SinkHandle {
    /// Returns the state that the sink publishes.
    pub fn state(&self) -> SinkState {
        self.control.state()
    }

    /// Waits until all rows sent to the sink so far are written or lost.
    pub async fn flush(&self) {
        self.control.flush().await;
    }

    /// Makes the sink's actor panic, with the rows it holds at that moment.
    #[cfg(feature = "fault-injection")]
    pub fn inject_panic(&self) -> BoxFuture<'static, ()> {
        self.control.inject_panic()
    }
}

impl CollectorHandle {
    /// Reads the store's positions in the pinned rings, which an earlier run saved.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn remembered(&self) -> Result<Remembered, SinkError> {
        match &self.store() {
            Some(store) => sqlite::remembered(store),
            None => Ok(Remembered::default()),
        }
    }

    /// Returns the running sinks, the store first. Stop them after the collector: each writes what is queued and the
    /// run's final accounts.
    pub fn sinks(&self) -> Vec<SinkHandle> {
        self.inner.present().sinks.iter().map(|sink| sink.handle.clone()).collect()
    }

    /// Returns the first sink's name. Reports to the user show the accounts of this sink.
    pub fn first_sink(&self) -> Option<SinkName> {
        self.inner.accounts.sinks().first().cloned()
    }

    /// Returns the store's file, if a store is enabled.
    pub fn store(&self) -> Option<PathBuf> {
        self.inner.present().config.store_path(&self.inner.workdir)
    }

    /// Returns the last rows of a tracer, oldest first; none unless the memory sink is enabled.
    pub fn recent(&self, tracer: &TracerName) -> Vec<Tracking> {
        let present = self.inner.present();
        let memory = present.sinks.iter().find_map(|sink| sink.carried_over.memory.as_ref());
        memory.map(|memory| memory.rows(tracer)).unwrap_or_default()
    }
}

/// The collector's name among the supervised children; a sink is called `sink:` and its name.
const COLLECTOR: &str = "collector";
/// Delay before asking again a sink that crashed while it was asked.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// Time that a stopped actor has to write what is queued.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Reasons why the write side can't start.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// Some filters can't be compiled.
    #[error("compiling filters: {}", problems_text(.0))]
    Filters(Vec<Problem>),
    /// A sink can never work, for example because it has no permission to write.
    #[error("starting sink {sink}: {source}")]
    Sink {
        /// The sink's name.
        sink: SinkName,
        /// Cause reported by the sink.
        source: SinkError,
    },
}

fn problems_text(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Describes a sink to start: one of the configuration, or the tracer's host that this agent reports to as its child.
pub struct SinkSpec {
    pub name: SinkName,
    /// Capacity of the sink's queue in batches, and what happens when it is full.
    pub queue: (u32, WhenFull),
    /// When the sink writes, and how long it retries.
    pub pace: Pace,
    /// Makes the sink; called for each incarnation of its actor.
    pub make: Box<dyn Fn() -> Box<dyn Sink> + Send + Sync>,
}

/// Starts the collector and every enabled sink. `accounts` must have been made with [`CollectorConfig::sinks`],
/// followed by the name of `own`.
///
/// Every sink is opened once before anything starts, so that one that can never work (no permission, not a database)
/// fails the start. A sink that can't work for now (no room, a locked file) is started all the same. If a sink fails
/// permanently later and crashes too often, it is given up, and rows meant for it count as lost.
///
/// # Errors
/// The filters have problems, whose keys begin with `filter`, or a sink can never work.
///
/// # Panics
/// Outside an actix system.
pub fn spawn(
    supervisor: &Supervisor,
    config: &CollectorConfig,
    filters: &FiltersConfig,
    accounts: Accounts,
    processes: ProcessTable,
    workdir: &Path,
    own: Option<SinkSpec>,
) -> Result<CollectorHandle, SpawnError> {
    let compiled = Filters::compile(filters, "filter").map_err(SpawnError::Filters)?;
    let (outbox, input) = Outbox::channel(config.queue as usize, WhenFull::Block);
    let present = Present { config: config.clone(), filters: filters.clone(), sinks: Vec::new() };
    let routing = Arc::new(LiveRouting::new(compiled));
    let inner = Inner {
        supervisor: supervisor.clone(),
        accounts: accounts.clone(),
        workdir: workdir.to_owned(),
        routing: routing.clone(),
        present: Mutex::new(present),
        changing: tokio::sync::Mutex::default(),
    };
    let sinks = inner.first_sinks(config, own)?;
    routing.set_routes(sinks.iter().map(|sink| sink.route.clone()).collect());
    inner.present().sinks = sinks;
    let shared = Arc::new(collector::Shared { input, routing: routing.clone(), accounts });
    // The task runs on the caller's thread, which does control work; rows are made on other threads.
    let names = Names::new(&config.runtimes).map(|(names, task)| {
        actix::spawn(task);
        names
    });
    let collector = supervisor.spawn(child_spec(COLLECTOR), move |ctx| {
        let pipeline = Pipeline::new(routing.filters(), processes.clone()).with_names(names.clone());
        Collector::new(ctx, shared.clone(), pipeline)
    });
    Ok(CollectorHandle { outbox, collector, collector_id: config.collector_id(), inner: Arc::new(inner) })
}

impl Inner {
    /// Starts the enabled sinks, each opened once before, and the sink given by the caller.
    fn first_sinks(
        &self,
        config: &CollectorConfig,
        own: Option<SinkSpec>,
    ) -> Result<Vec<RunningSink>, SpawnError> {
        let names = config.sinks();
        let known = names
            .iter()
            .map(|name| sinks::spec(name.as_str(), config, &self.workdir, CarriedOver::default()));
        let specs: Vec<_> = known.chain(own.map(|own| (own, CarriedOver::default()))).collect();
        specs.iter().try_for_each(|(spec, _)| check(spec))?;
        let start = |(spec, carried_over): (SinkSpec, CarriedOver)| {
            let id = self.accounts.sink_id(&spec.name);
            self.start(id, spec, carried_over, watch::channel(true).1)
        };
        Ok(specs.into_iter().map(start).collect())
    }

    /// Starts one sink's actor, which waits until its file is `free`.
    pub(crate) fn start(
        &self,
        id: SinkId,
        spec: SinkSpec,
        carried_over: CarriedOver,
        free: watch::Receiver<bool>,
    ) -> RunningSink {
        let SinkSpec { name, queue, pace, make } = spec;
        let (handle, route) =
            start_sink(&self.supervisor, id.clone(), queue, pace, self.accounts.clone(), make, free);
        RunningSink { name, id, handle, route: Arc::new(route), carried_over }
    }
}

/// Opens the sink once, so that one that can never work is reported before anything starts.
fn check(spec: &SinkSpec) -> Result<(), SpawnError> {
    match (spec.make)().check() {
        Err(source) if source.trouble == Trouble::Permanent => {
            Err(SpawnError::Sink { sink: spec.name.clone(), source })
        }
        _ => Ok(()),
    }
}

fn child_spec(name: &str) -> Spec {
    Spec { placement: Placement::OwnThread, stop_timeout: STOP_TIMEOUT, last_try: true, ..Spec::new(name) }
}

/// Starts one sink's actor with its own queue; for sinks that are not in the configuration, and for tests.
pub fn spawn_sink<S: Sink + Unpin>(
    supervisor: &Supervisor,
    name: SinkName,
    queue: (u32, WhenFull),
    pace: Pace,
    accounts: Accounts,
    make: impl Fn() -> S + Send + Sync + 'static,
) -> (SinkHandle, Outbox<Routed>) {
    let id = accounts.sink_id(&name);
    let (sink, route) = start_sink(supervisor, id, queue, pace, accounts, make, watch::channel(true).1);
    (sink, route.outbox)
}

fn start_sink<S: Sink + Unpin>(
    supervisor: &Supervisor,
    id: SinkId,
    (capacity, when_full): (u32, WhenFull),
    pace: Pace,
    accounts: Accounts,
    make: impl Fn() -> S + Send + Sync + 'static,
    free: watch::Receiver<bool>,
) -> (SinkHandle, Route) {
    let (outbox, queue) = Outbox::channel(capacity as usize, when_full);
    let (input, unwritten, leaving) = (queue.clone(), Unwritten::default(), Arc::default());
    let name = id.name.clone();
    let shared = Arc::new(writer::Shared {
        name: name.clone(),
        id: id.clone(),
        free,
        leaving: Arc::clone(&leaving),
        input,
        accounts,
        pace,
        unwritten,
    });
    let child = supervisor
        .spawn(child_spec(&format!("sink:{name}")), move |ctx| SinkActor::new(ctx, shared.clone(), make()));
    let route = Route { sink: id, outbox, queue, watch: Arc::new(child.clone()) };
    (SinkHandle { name, child: Arc::new(child.clone()), control: Arc::new(child), leaving }, route)
}
