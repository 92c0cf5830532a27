//! From configuration to actors: the whole topology on one page.
//!
//! ```text
//! ebpf host ─► kernel tracers ─┐
//!        shell tracers ────────┼─► collector ─► sinks (sqlite, memory, jsonl)
//!        subprocess tracers ───┘
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::{AnyChild, Stage, Supervisor};
use bpf_programs::programs::Hook;
use bpf_programs::{EbpfTracers, SetLookInterval};
use collector::CollectorHandle;
use model::{Accounts, ProcessTable, SinkName, TracerName};
use serde::Serialize;
use shell_monitor::{Kind, Monitor, Wiring};

use crate::config::Config;
use crate::exit::Failure;

/// The host of kernel tracers, as `kind` tells it.
pub(crate) const EBPF: &str = "ebpf";

/// While somebody watches the live lines, records are looked for this often at least.
const WATCHED_LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// A tracer at work.
pub(crate) struct Tracer {
    pub(crate) stored_as: TracerName,
    pub(crate) kind: &'static str,
    pub(crate) child: Arc<dyn AnyChild>,
    /// The actor it hangs on, if it can't do without one.
    pub(crate) host: Option<Arc<dyn AnyChild>>,
    /// Whether it has attached.
    pub(crate) attached: Box<dyn Fn() -> bool + Send + Sync>,
    /// If it can't run, the agent must not either.
    pub(crate) strict: bool,
}

/// Everybody, and how they hang together.
pub(crate) struct Topology {
    pub(crate) stage: Stage,
    pub(crate) tracers: Vec<Tracer>,
    pub(crate) accounts: Accounts,
    /// Actors without which nothing can be stored.
    pub(crate) essential: Vec<Arc<dyn AnyChild>>,
    /// The sink whose books `status` shows.
    pub(crate) store_sink: SinkName,
    pub(crate) store: Option<PathBuf>,
    pub(crate) collector_id: String,
    #[cfg(feature = "fault-injection")]
    pub(crate) faults: crate::faults::Faults,
}

impl Topology {
    /// Stops everybody, sources first.
    pub(crate) async fn stop(&self) {
        self.stage.stop().await;
    }
}

/// Starts everybody.
pub(crate) async fn assemble(config: &Config, workdir: &Path, watched: bool) -> Result<Topology, Failure> {
    let sinks = config.collector.sinks();
    let store_sink = sinks.first().cloned().ok_or_else(|| Failure::failed("no sink is enabled"))?;
    let (accounts, processes, supervisor) =
        (Accounts::new(&sinks), ProcessTable::default(), Supervisor::new());

    let collector = collector::spawn(
        &supervisor,
        &config.collector,
        &config.filter,
        accounts.clone(),
        processes.clone(),
        workdir,
    )
    .map_err(|cause| Failure::Failed(cause.into()))?;
    let ebpf = bpf_programs::spawn(
        &supervisor,
        &config.ebpf,
        &config.tracer.kernel,
        &accounts,
        processes,
        &collector.outbox,
    );
    if let (Some(ebpf), true) = (&ebpf, watched) {
        watch_closely(ebpf, config);
    }
    let wiring = Wiring {
        accounts: accounts.clone(),
        outbox: collector.outbox.clone(),
        reserved: Arc::new(reserved_names(config)),
    };
    let monitor = shell_monitor::spawn(&supervisor, &config.shell_monitor(), &wiring);

    Ok(Topology {
        tracers: tracers(config, ebpf.as_ref(), &monitor),
        #[cfg(feature = "fault-injection")]
        faults: crate::faults::Faults::new(ebpf.as_ref(), &collector),
        essential: vec![Arc::new(collector.collector.clone())],
        stage: stage(ebpf.as_ref(), &monitor, &collector),
        accounts,
        store_sink,
        store: config.collector.store_path(workdir),
        collector_id: config.collector.collector_id(),
    })
}

/// Everybody in the order in which they stop.
fn stage(ebpf: Option<&EbpfTracers>, monitor: &Monitor, collector: &CollectorHandle) -> Stage {
    let mut stage = Stage::new();
    let mut sources: Vec<Arc<dyn AnyChild>> = ebpf.map(EbpfTracers::host_child).into_iter().collect();
    sources.extend(monitor.tracers().iter().map(|tracer| tracer.child.clone()));
    stage.add("sources", sources);
    let mut tracers = ebpf.map(EbpfTracers::tracer_children).unwrap_or_default();
    tracers.extend(monitor.hosts());
    stage.add("tracers", tracers);
    stage.add("collector", vec![Arc::new(collector.collector.clone())]);
    stage.add("sinks", collector.sinks.iter().map(|sink| sink.child.clone()).collect());
    stage
}

fn tracers(config: &Config, ebpf: Option<&EbpfTracers>, monitor: &Monitor) -> Vec<Tracer> {
    let mut tracers = Vec::new();
    if let Some(ebpf) = ebpf {
        tracers.extend(ebpf.tracers.iter().map(|tracer| {
            let child = tracer.child.clone();
            Tracer {
                stored_as: tracer.stored_as.clone(),
                kind: EBPF,
                child: Arc::new(tracer.child.clone()),
                host: Some(ebpf.host_child()),
                attached: Box::new(move || child.state().attached),
                strict: config.ebpf.strict,
            }
        }));
    }
    tracers.extend(monitor.tracers().iter().map(|tracer| Tracer {
        stored_as: tracer.name.clone(),
        kind: kind_name(tracer.kind),
        child: tracer.child.clone(),
        host: None,
        attached: Box::new(|| true),
        strict: false,
    }));
    tracers
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Shell => "shell",
        Kind::Subprocess => "subprocess",
    }
}

/// Names that no child may store under: their books are kept elsewhere.
fn reserved_names(config: &Config) -> BTreeSet<TracerName> {
    let kernel = bpf_programs::programs::tracers().map(|tracer| config.tracer.kernel.stored_as(tracer.name));
    kernel.chain([TracerName::new("loss")]).collect()
}

/// Somebody watches: looks for records more often.
fn watch_closely(ebpf: &EbpfTracers, config: &Config) {
    let host = ebpf.host.clone();
    let interval = config.ebpf.look_interval.0.min(WATCHED_LOOK);
    actix::spawn(async move {
        // A host that does not start has nothing to look at.
        let _ = host.ask(SetLookInterval(interval)).await;
    });
}

/// A tracer the configuration knows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configured {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) stored_as: String,
    pub(crate) disabled: bool,
    /// Hooks of a kernel tracer; the command of another.
    pub(crate) hooks: Vec<String>,
}

/// Every tracer the configuration knows, disabled ones too (templates only if enabled).
pub(crate) fn configured(config: &Config) -> Vec<Configured> {
    let kernel = bpf_programs::programs::tracers().map(|tracer| {
        let section = config.tracer.kernel.of(tracer.name);
        Configured {
            name: tracer.name.to_owned(),
            kind: EBPF,
            stored_as: section.name,
            disabled: config.ebpf.disabled || section.disabled,
            hooks: tracer.programs.iter().flat_map(|program| hook_names(&program.hook)).collect(),
        }
    });
    let mut all: Vec<Configured> = kernel.collect();
    let own = config.shell_monitor();
    let row = |name: &TracerName, kind, comm: &[String]| Configured {
        name: name.to_string(),
        kind: kind_name(kind),
        stored_as: name.to_string(),
        disabled: false,
        hooks: comm.to_vec(),
    };
    all.extend(own.shells().iter().map(|tracer| row(&tracer.name, Kind::Shell, &tracer.command.comm)));
    all.extend(
        own.subprocesses().iter().map(|tracer| row(&tracer.name, Kind::Subprocess, &tracer.command.comm)),
    );
    all
}

/// The names of a program's hooks, as the kernel has them.
fn hook_names(hook: &Hook) -> Vec<String> {
    match hook {
        Hook::Tracepoints { category, required, optional } => {
            required.iter().chain(*optional).map(|name| format!("{category}/{name}")).collect()
        }
        Hook::BtfTracepoint(name) => vec![(*name).to_owned()],
        Hook::TaskIterator => vec!["iter/task".to_owned()],
    }
}
