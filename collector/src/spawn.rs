//! Starts the write side: the queues, the collector, and one actor per sink.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actors::{ChildSet, LoopRef, Outbox, Supervisor, WhenFull, clock};
use model::lock::lock;
use model::{
    Accounts, Batch, Problem, ProcessTable, Remembered, Role, SinkId, SinkName, TracerName, Tracking,
};
use store::access::Access;
use thiserror::Error;

use crate::collector::{self, Collector};
use crate::config::{CollectorConfig, SinkConfig};
use crate::enrich::runtime::Names;
use crate::feed::{Feed, Subscription};
use crate::filter::{Filters, FiltersConfig};
use crate::live_routing::LiveRouting;
use crate::pipeline::Pipeline;
use crate::sink::gate::Gate;
use crate::sink::kind::{SinkSpec, StoreRun};
use crate::sink::memory::Memory;
use crate::sink::{SinkError, Trouble, host};
use crate::sinks::{self, RunningSink, SinkHandle, Sinks, child_spec};

/// The collector's name among the supervised children; a sink is called `sink:` and its name.
const COLLECTOR: &str = "collector";

/// Longest wait for a sink that is asked to open its output again.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);

/// Handle to the write side. Clones refer to the same one.
#[derive(Clone)]
pub struct CollectorHandle {
    /// Queue to which tracers send batches.
    pub outbox: Outbox<Batch>,
    /// The collector. Stop it after all sources.
    pub collector: LoopRef<Collector>,
    /// Collector id that rows are stored under.
    pub collector_id: String,
    /// Whether the columnar store takes new rows.
    pub gate: Gate,
    pub(crate) inner: Arc<Inner>,
}

/// State shared by all clones of the handle.
pub(crate) struct Inner {
    pub(crate) accounts: Accounts,
    pub(crate) workdir: PathBuf,
    pub(crate) routing: Arc<LiveRouting>,
    present: Mutex<Present>,
    /// Sinks of the configuration, in the order in which rows are offered.
    pub(crate) sinks: ChildSet<Sinks>,
    /// The sink to the program whose child this agent is.
    pub(crate) host: Option<RunningSink>,
    pub(crate) feed: Feed,
}

/// The configuration in force.
pub(crate) struct Present {
    pub(crate) config: CollectorConfig,
    pub(crate) filters: FiltersConfig,
}

impl Inner {
    pub(crate) fn present(&self) -> MutexGuard<'_, Present> {
        lock(&self.present)
    }

    /// Returns all sinks, in the order in which rows are offered.
    fn running(&self) -> Vec<RunningSink> {
        let sinks = self.sinks.members().into_iter().filter_map(|member| member.child);
        sinks.chain(self.host.clone()).collect()
    }
}

impl CollectorHandle {
    /// Reads the store's positions in the pinned rings, which an earlier run saved.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn remembered(&self) -> Result<Remembered, SinkError> {
        let store = self.inner.present().config.store();
        let kind = self.inner.sinks.kind();
        store.map_or(Ok(Remembered::default()), |store| {
            store.kind().remembered(&kind.workdir, &kind.other_store)
        })
    }

    /// Returns the running sinks. Stop them after the collector: each writes what is queued and the
    /// run's final accounts.
    pub fn sinks(&self) -> Vec<SinkHandle> {
        self.inner.running().into_iter().map(|sink| sink.handle).collect()
    }

    /// Makes every sink write what is queued, and open its output again if that was removed, moved or replaced.
    pub async fn reopen_outputs(&self) {
        for sink in self.sinks() {
            tokio::select! {
                () = sink.flush() => {}
                // A sink that can't write does not hold up the others.
                () = clock::sleep(REOPEN_PATIENCE) => {}
            }
        }
    }

    /// Returns the store's file, if a store is enabled.
    pub fn store(&self) -> Option<PathBuf> {
        self.inner.present().config.store_file(&self.inner.workdir)
    }

    /// Begins to follow: the subscription gets the rows of these tracers (of all, if none is named) as soon as they are stored,
    /// or, without a store, as soon as the first sink has them. With `recent`, and if the memory sink is that one, it first gets
    /// what is in memory.
    pub fn follow(&self, tracers: Vec<String>, recent: bool) -> Subscription {
        let source = self.inner.accounts.shown_sink();
        let memory = self.inner.running().into_iter().find(|sink| Some(&sink.route.sink) == source.as_ref());
        let memory = memory.and_then(|sink| sink.carried_over.get::<Memory>()).filter(|_| recent);
        self.inner.feed.follow(tracers, source.as_ref(), || memory.map(|memory| memory.pieces()))
    }

    /// Returns the stream of stored rows that followers get.
    pub fn feed(&self) -> &Feed {
        &self.inner.feed
    }

    /// Returns the columnar store's file, if that store is enabled.
    pub fn columnar_store(&self) -> Option<PathBuf> {
        let present = self.inner.present();
        let store = &present.config.store;
        (!store.disabled).then(|| store.file(&self.inner.workdir))
    }

    /// Returns the last rows of a tracer, oldest first; none unless the memory sink is enabled.
    pub fn recent(&self, tracer: &TracerName) -> Vec<Tracking> {
        let memory = self.inner.running().iter().find_map(|sink| sink.carried_over.get::<Memory>());
        memory.map(|memory| memory.rows(tracer)).unwrap_or_default()
    }
}

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

/// Starts the collector, every enabled sink, and the sink to the `host` of a child. The accounts must have no sinks
/// yet.
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
    (workdir, access): (&Path, Access),
    host: Option<SinkSpec>,
) -> Result<CollectorHandle, SpawnError> {
    let compiled = Filters::compile(filters, "filter").map_err(SpawnError::Filters)?;
    let (outbox, input) = Outbox::channel(config.queue as usize, WhenFull::Block);
    let present = Mutex::new(Present { config: config.clone(), filters: filters.clone() });
    let routing = Arc::new(LiveRouting::new(compiled));
    let (workdir, gate, feed) = (workdir.to_owned(), Gate::default(), Feed::default());
    let kind = Sinks {
        supervisor: supervisor.clone(),
        accounts: accounts.clone(),
        workdir: workdir.clone(),
        collector_id: config.collector_id(),
        access,
        feed: feed.clone(),
        store_run: StoreRun::default(),
        other_store: config.other_store(&workdir),
        gate: gate.clone(),
    };
    let (sinks, host) = first_sinks(&kind, config, host)?;
    let sinks = ChildSet::new(kind, sinks);
    let inner =
        Inner { accounts: accounts.clone(), workdir, routing: routing.clone(), present, sinks, host, feed };
    routing.set_routes(inner.running().into_iter().map(|sink| sink.route).collect());
    let shared = Arc::new(collector::Shared { input, routing: routing.clone(), accounts });
    processes.set_runtime_users(&config.runtimes.uids);
    // The task runs on the caller's thread, which does control work; rows are made on other threads.
    let names = Names::new(&config.runtimes).map(|(names, task)| {
        actix::spawn(task);
        names
    });
    let collector = supervisor.spawn_loop(child_spec(COLLECTOR), move |ctx| {
        let pipeline = Pipeline::new(routing.filters(), processes.clone()).with_names(names.clone());
        Collector::new(ctx, shared.clone(), pipeline)
    });
    let collector_id = config.collector_id();
    Ok(CollectorHandle { outbox, collector, collector_id, gate, inner: Arc::new(inner) })
}

/// Sinks of the configuration, and the host.
type FirstSinks = (Vec<(SinkConfig, RunningSink)>, Option<RunningSink>);

/// Starts the enabled sinks and the host, each opened once before.
fn first_sinks(
    kind: &Sinks,
    config: &CollectorConfig,
    host: Option<SinkSpec>,
) -> Result<FirstSinks, SpawnError> {
    let of_config = config.sinks().into_iter().map(|sink| (kind.describe(&sink, None), sink));
    let of_config: Vec<_> = of_config.collect();
    let host = host.map(|spec| (kind.accounts.new_sink_id(&host::NAME.into(), Role::Copy), spec));
    let all = of_config.iter().map(|(described, _)| described).chain(&host);
    all.into_iter().try_for_each(|(id, spec)| check(id, spec))?;
    let start = |(id, spec)| {
        kind.accounts.join(&id);
        sinks::start(&kind.supervisor, (id, spec), &kind.accounts, &kind.feed, None)
    };
    let sinks = of_config.into_iter().map(|(described, sink)| (sink, start(described))).collect();
    Ok((sinks, host.map(start)))
}

/// Opens the sink once, so that one that can never work is reported before anything starts.
fn check(id: &SinkId, spec: &SinkSpec) -> Result<(), SpawnError> {
    match (spec.make)().check() {
        Err(source) if source.trouble == Trouble::Permanent => {
            Err(SpawnError::Sink { sink: id.name.clone(), source })
        }
        _ => Ok(()),
    }
}
