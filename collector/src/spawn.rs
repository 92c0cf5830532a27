//! Starts the write side: queues, the collector, a sink's actor each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::{AnyChild, AskError, ChildRef, Outbox, Placement, Spec, Supervisor, WhenFull, clock};
use futures::future::BoxFuture;
use model::{Accounts, Batch, Problem, ProcessTable, Remembered, Routed, SinkName, TracerName, Tracking};
use thiserror::Error;

use crate::collector::{self, Collector, CollectorState};
use crate::config::{CollectorConfig, JSONL_FILE};
use crate::filter::{Filters, FiltersConfig};
use crate::loss::Unwritten;
use crate::pipeline::Pipeline;
use crate::route::Route;
use crate::sink::jsonl::{self, Jsonl};
use crate::sink::memory::{self, Memory};
use crate::sink::sqlite::{self, Run, Sqlite};
use crate::sink::writer::{self, Flush, Pace, SinkActor, SinkState};
use crate::sink::{Sink, SinkError, Trouble};

/// The write side from outside. Clones are the same.
#[derive(Clone)]
pub struct CollectorHandle {
    /// Where tracers send batches.
    pub outbox: Outbox<Batch>,
    /// The collector: to be stopped after all sources.
    pub collector: ChildRef<Collector, CollectorState>,
    /// The sinks, the store first: to be stopped after the collector. Stopping one writes what waits, and the run's
    /// final accounts.
    pub sinks: Vec<SinkHandle>,
    /// Under which rows are stored.
    pub collector_id: String,
    /// The store's file, if there is a store.
    pub store: Option<PathBuf>,
    /// What the memory sink holds, if it is on.
    memory: Option<Memory>,
}

/// A sink from outside. Clones refer to the same one.
#[derive(Clone)]
pub struct SinkHandle {
    /// Its name.
    pub name: SinkName,
    /// The actor.
    pub child: Arc<dyn AnyChild>,
    control: Arc<dyn Control>,
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
        match &self.store {
            Some(store) => sqlite::remembered(store),
            None => Ok(Remembered::default()),
        }
    }

    /// The last rows of a tracer, oldest first, if the memory sink is on.
    pub fn recent(&self, tracer: &TracerName) -> Vec<Tracking> {
        self.memory.as_ref().map(|memory| memory.rows(tracer)).unwrap_or_default()
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
    // Compiled here for their problems; again for each incarnation, which owns its own.
    Filters::compile(filters, "filter").map_err(SpawnError::Filters)?;
    let collector_id = config.collector_id();
    let mut start = Start { supervisor, accounts: &accounts, routes: Vec::new(), sinks: Vec::new() };
    start.sqlite(config, &collector_id, workdir)?;
    let memory = start.memory(config)?;
    start.jsonl(config, workdir)?;
    if let Some(own) = own {
        start.sink(own.name.as_str(), own.queue, own.pace, own.make)?;
    }
    let Start { routes, sinks, .. } = start;
    let (outbox, input) = Outbox::channel(config.queue as usize, WhenFull::Block);
    let fixture = Arc::new(collector::Fixture { input, routes, accounts });
    let filters = filters.clone();
    let collector = supervisor.spawn(spec(COLLECTOR), move |link| {
        let filters = Filters::compile(&filters, "filter").unwrap_or_default();
        Collector::new(link, fixture.clone(), Pipeline::new(filters, processes.clone()))
    });
    Ok(CollectorHandle { outbox, collector, sinks, collector_id, store: config.store_path(workdir), memory })
}

fn spec(name: &str) -> Spec {
    Spec { placement: Placement::OwnThread, stop_timeout: STOP_TIMEOUT, last_try: true, ..Spec::new(name) }
}

/// Sinks in the making.
struct Start<'a> {
    supervisor: &'a Supervisor,
    accounts: &'a Accounts,
    routes: Vec<Route>,
    sinks: Vec<SinkHandle>,
}

impl Start<'_> {
    fn sqlite(
        &mut self,
        config: &CollectorConfig,
        collector_id: &str,
        workdir: &Path,
    ) -> Result<(), SpawnError> {
        let settings = &config.sqlite;
        let Some(path) = config.store_path(workdir) else { return Ok(()) };
        let run = Run {
            run_id: format!("{:x}-{}", clock::unix_ns(), std::process::id()),
            collector_id: collector_id.to_owned(),
            started: clock::wall(),
        };
        let pace = Pace {
            batch: settings.batch as usize,
            flush_interval: settings.flush_interval.0,
            retry_for: settings.retry_for.0,
        };
        let synchronous = settings.synchronous;
        let queue = (settings.queue, settings.when_full);
        self.sink(sqlite::NAME, queue, pace, move || Sqlite::new(path.clone(), synchronous, run.clone()))
    }

    fn memory(&mut self, config: &CollectorConfig) -> Result<Option<Memory>, SpawnError> {
        let settings = &config.memory;
        if settings.disabled {
            return Ok(None);
        }
        let memory = Memory::new(settings.maxlen as usize);
        // Nothing is gained by waiting: rows are shared, not written.
        let pace = Pace { batch: 1, flush_interval: Duration::ZERO, retry_for: Duration::ZERO };
        let queue = (settings.queue, settings.when_full);
        let shared = memory.clone();
        self.sink(memory::NAME, queue, pace, move || shared.clone())?;
        Ok(Some(memory))
    }

    fn jsonl(&mut self, config: &CollectorConfig, workdir: &Path) -> Result<(), SpawnError> {
        let settings = config.jsonl.clone();
        if settings.disabled {
            return Ok(());
        }
        let pace = Pace {
            batch: settings.batch as usize,
            flush_interval: settings.flush_interval.0,
            retry_for: settings.retry_for.0,
        };
        let queue = (settings.queue, settings.when_full);
        let path = workdir.join(if settings.path.is_empty() { JSONL_FILE } else { &settings.path });
        self.sink(jsonl::NAME, queue, pace, move || match settings.path.as_str() {
            "-" => Jsonl::stdout(),
            _ => Jsonl::file(path.clone(), settings.rotate_size.0, settings.rotate_keep),
        })
    }

    fn sink<S: Sink + Unpin>(
        &mut self,
        name: &str,
        queue: (u32, WhenFull),
        pace: Pace,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<(), SpawnError> {
        let name = SinkName::new(name);
        match make().check() {
            Err(source) if source.trouble == Trouble::Permanent => {
                return Err(SpawnError::Sink { sink: name, source });
            }
            _ => {}
        }
        let (sink, route) = start_sink(self.supervisor, name, queue, pace, self.accounts.clone(), make);
        self.sinks.push(sink);
        self.routes.push(route);
        Ok(())
    }
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
    let (sink, route) = start_sink(supervisor, name, queue, pace, accounts, make);
    (sink, route.outbox)
}

fn start_sink<S: Sink + Unpin>(
    supervisor: &Supervisor,
    name: SinkName,
    (capacity, when_full): (u32, WhenFull),
    pace: Pace,
    accounts: Accounts,
    make: impl Fn() -> S + Send + Sync + 'static,
) -> (SinkHandle, Route) {
    let (outbox, queue) = Outbox::channel(capacity as usize, when_full);
    let (input, unwritten) = (queue.clone(), Unwritten::default());
    let fixture = Arc::new(writer::Fixture { name: name.clone(), input, accounts, pace, unwritten });
    let child = supervisor
        .spawn(spec(&format!("sink:{name}")), move |link| SinkActor::new(link, fixture.clone(), make()));
    let route = Route { sink: name.clone(), outbox, queue, watch: Arc::new(child.clone()) };
    (SinkHandle { name, child: Arc::new(child.clone()), control: Arc::new(child) }, route)
}
