//! Starts the write side: queues, the collector, a sink's actor each.

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

use crate::board::Board;
use crate::collector::{self, Collector, CollectorState};
use crate::config::CollectorConfig;
use crate::enrich::runtime::Names;
use crate::filter::{Filters, FiltersConfig};
use crate::loss::Unwritten;
use crate::pipeline::Pipeline;
use crate::route::Route;
use crate::sink::sqlite;
use crate::sink::writer::{self, Flush, Pace, SinkActor, SinkState};
use crate::sink::{Sink, SinkError, Trouble};
use crate::sinks::{self, Legacy, Seated};

/// The write side from outside. Clones are the same.
#[derive(Clone)]
pub struct CollectorHandle {
    /// Where tracers send batches.
    pub outbox: Outbox<Batch>,
    /// The collector: to be stopped after all sources.
    pub collector: ChildRef<Collector, CollectorState>,
    /// Under which rows are stored.
    pub collector_id: String,
    pub(crate) inner: Arc<Inner>,
}

/// What all clones of the handle share.
pub(crate) struct Inner {
    pub(crate) supervisor: Supervisor,
    pub(crate) accounts: Accounts,
    pub(crate) workdir: PathBuf,
    pub(crate) board: Arc<Board>,
    present: Mutex<Present>,
    /// Held by whoever changes sinks or filters: one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// What is there now, and what it was made from.
pub(crate) struct Present {
    pub(crate) config: CollectorConfig,
    pub(crate) filters: FiltersConfig,
    /// In the order in which rows are offered, the store first.
    pub(crate) sinks: Vec<Seated>,
}

impl Inner {
    pub(crate) fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sink from outside. Clones refer to the same one.
#[derive(Clone)]
pub struct SinkHandle {
    /// Its name.
    pub name: SinkName,
    /// The actor.
    pub child: Arc<dyn AnyChild>,
    control: Arc<dyn Control>,
    /// It goes while others stay.
    pub(crate) leaving: Arc<AtomicBool>,
}

/// What can be asked of a sink's actor, whatever the sink.
trait Control: Send + Sync {
    fn state(&self) -> SinkState;
    fn flush(&self) -> BoxFuture<'static, ()>;
    #[cfg(feature = "fault-injection")]
    fn inject_panic(&self) -> BoxFuture<'static, ()>;
}

impl<S: Sink + Unpin> Control for ChildRef<SinkActor<S>, SinkState> {
    fn state(&self) -> SinkState {
        ChildRef::state(self)
    }

    fn flush(&self) -> BoxFuture<'static, ()> {
        let child = self.clone();
        // A sink that falls while it flushes has lost what it had in hand, not what waits: its next incarnation is
        // asked again.
        Box::pin(async move {
            while let Err(AskError::Fell { .. }) = child.ask(Flush).await {
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
    /// What it shows of itself.
    pub fn state(&self) -> SinkState {
        self.control.state()
    }

    /// Waits until what it has been sent is written or lost.
    pub async fn flush(&self) {
        self.control.flush().await;
    }

    /// Makes its actor panic, with whatever it has in hand.
    #[cfg(feature = "fault-injection")]
    pub fn inject_panic(&self) -> BoxFuture<'static, ()> {
        self.control.inject_panic()
    }
}

impl CollectorHandle {
    /// What the store tells of rings that outlived the agent it got records from.
    ///
    /// # Errors
    /// The store can't be read, or there is none.
    pub fn remembered(&self) -> Result<Remembered, SinkError> {
        match &self.store() {
            Some(store) => sqlite::remembered(store),
            None => Ok(Remembered::default()),
        }
    }

    /// The sinks that are there, the store first: to be stopped after the collector. Stopping one writes what waits, and
    /// the run's final accounts.
    pub fn sinks(&self) -> Vec<SinkHandle> {
        self.inner.present().sinks.iter().map(|sink| sink.handle.clone()).collect()
    }

    /// The first sink: the one whose accounts are those that people are told.
    pub fn first_sink(&self) -> Option<SinkName> {
        self.inner.accounts.sinks().first().cloned()
    }

    /// The store's file, if there is a store.
    pub fn store(&self) -> Option<PathBuf> {
        self.inner.present().config.store_path(&self.inner.workdir)
    }

    /// The last rows of a tracer, oldest first, if the memory sink is on.
    pub fn recent(&self, tracer: &TracerName) -> Vec<Tracking> {
        let present = self.inner.present();
        let memory = present.sinks.iter().find_map(|sink| sink.legacy.memory.as_ref());
        memory.map(|memory| memory.rows(tracer)).unwrap_or_default()
    }
}

/// The collector's name among children; a sink's is `sink:` and its own.
const COLLECTOR: &str = "collector";
/// Between two questions to a sink that fell over the first.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// Time to write what waits when asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the write side can't start.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// Filters that can't be compiled.
    #[error("compiling filters: {}", problems_text(.0))]
    Filters(Vec<Problem>),
    /// A sink that can never work.
    #[error("starting sink {sink}: {source}")]
    Sink {
        /// Which.
        sink: SinkName,
        /// Why not.
        source: SinkError,
    },
}

fn problems_text(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A sink that the configuration does not know: the host that a child of its reports to.
pub struct OwnSink {
    /// Its name.
    pub name: SinkName,
    /// How many batches may wait for it, and what happens when they do.
    pub queue: (u32, WhenFull),
    /// When it is written to.
    pub pace: Pace,
    /// Makes it, for each incarnation of its actor.
    pub make: Box<dyn Fn() -> Box<dyn Sink> + Send + Sync>,
}

/// Starts the collector and every sink that is on. `accounts` must have been made with [`CollectorConfig::sinks`],
/// and the names of `own` behind these.
///
/// Every sink is opened once before anything starts, so that one that can never work (no permission, not a database)
/// is told at once. A sink that can't work for now (no room, a locked file) is started all the same. One that stops
/// working for good later, and falls too often, is given up; rows meant for it are then booked as lost.
///
/// # Errors
/// What is wrong with the filters, below `filter`, or with a sink.
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
    own: Option<OwnSink>,
) -> Result<CollectorHandle, SpawnError> {
    let compiled = Filters::compile(filters, "filter").map_err(SpawnError::Filters)?;
    let (outbox, input) = Outbox::channel(config.queue as usize, WhenFull::Block);
    let present = Present { config: config.clone(), filters: filters.clone(), sinks: Vec::new() };
    let board = Arc::new(Board::new(compiled));
    let inner = Inner {
        supervisor: supervisor.clone(),
        accounts: accounts.clone(),
        workdir: workdir.to_owned(),
        board: board.clone(),
        present: Mutex::new(present),
        changing: tokio::sync::Mutex::default(),
    };
    let sinks = inner.first_sinks(config, own)?;
    board.set_routes(sinks.iter().map(|sink| sink.route.clone()).collect());
    inner.present().sinks = sinks;
    let fixture = Arc::new(collector::Fixture { input, board: board.clone(), accounts });
    // On the caller's thread, which carries control: rows are made on others.
    let names = Names::new(&config.runtimes).map(|(names, task)| {
        actix::spawn(task);
        names
    });
    let collector = supervisor.spawn(spec(COLLECTOR), move |link| {
        let pipeline = Pipeline::new(board.filters(), processes.clone()).with_names(names.clone());
        Collector::new(link, fixture.clone(), pipeline)
    });
    Ok(CollectorHandle { outbox, collector, collector_id: config.collector_id(), inner: Arc::new(inner) })
}

impl Inner {
    /// Starts the sinks that are on at the start, each opened once before; and the one the configuration does not know.
    fn first_sinks(&self, config: &CollectorConfig, own: Option<OwnSink>) -> Result<Vec<Seated>, SpawnError> {
        let names = config.sinks();
        let known = names
            .iter()
            .map(|name| sinks::blueprint(name.as_str(), config, &self.workdir, Legacy::default()));
        let blueprints: Vec<_> = known.chain(own.map(|own| (own, Legacy::default()))).collect();
        blueprints.iter().try_for_each(|(blueprint, _)| check(blueprint))?;
        let start = |(blueprint, legacy): (OwnSink, Legacy)| {
            let id = self.accounts.sink_id(&blueprint.name);
            self.start(id, blueprint, legacy, watch::channel(true).1)
        };
        Ok(blueprints.into_iter().map(start).collect())
    }

    /// Starts one sink's actor; it waits until its file is `free`.
    pub(crate) fn start(
        &self,
        id: SinkId,
        blueprint: OwnSink,
        legacy: Legacy,
        free: watch::Receiver<bool>,
    ) -> Seated {
        let OwnSink { name, queue, pace, make } = blueprint;
        let (handle, route) =
            start_sink(&self.supervisor, id.clone(), queue, pace, self.accounts.clone(), make, free);
        Seated { name, id, handle, route: Arc::new(route), legacy }
    }
}

/// One that can never work is told before anything starts.
fn check(blueprint: &OwnSink) -> Result<(), SpawnError> {
    match (blueprint.make)().check() {
        Err(source) if source.trouble == Trouble::Permanent => {
            Err(SpawnError::Sink { sink: blueprint.name.clone(), source })
        }
        _ => Ok(()),
    }
}

fn spec(name: &str) -> Spec {
    Spec { placement: Placement::OwnThread, stop_timeout: STOP_TIMEOUT, last_try: true, ..Spec::new(name) }
}

/// Starts one sink's actor, with a queue of its own: for sinks that the configuration does not know, and for tests.
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
    let fixture = Arc::new(writer::Fixture {
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
        .spawn(spec(&format!("sink:{name}")), move |link| SinkActor::new(link, fixture.clone(), make()));
    let route = Route { sink: id, outbox, queue, watch: Arc::new(child.clone()) };
    (SinkHandle { name, child: Arc::new(child.clone()), control: Arc::new(child), leaving }, route)
}
