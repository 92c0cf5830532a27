//! Creates all actors from a configuration and connects them:
//!
//! ```text
//! ebpf host ─► kernel tracers ─┐
//!        shell tracers ────────┼─► collector ─► sinks (store, sqlite, memory, jsonl)
//!        subprocess tracers ───┤
//!        eBPF templates ───────┘
//! ```

use std::path::Path;
use std::sync::Arc;

use actors::{AnyChild, Phase, Spec, Stage, Supervisor};
use bpf_programs::template;
use bpf_programs::{EbpfTracers, Pinning};
use collector::{CollectorHandle, SinkConfig, SinkSpec};
use model::{AccountSnapshot, Accounts, ProcessTable, TracerName};
use serde::Serialize;
use shell_monitor::{Launcher, Monitor, Reserved, Wiring};

use crate::config::Config;
use crate::exit::Failure;
use crate::sealer::{Sealer, SharedSettings};
use crate::subsystem::{
    BpfTemplates, Group, Kernel, KernelOptions, Programs, Segments, Subsystem, Tracer, TracerKind, WriteSide,
    reserved_names,
};

const STILL_PINNED: &str = "records in the kernel could not be read in time: they stay there for the next start, or until \
     `stop --unpin`";

/// All actors of the agent and how they are connected.
pub(crate) struct Topology {
    /// All subsystems, in the order in which a new configuration is applied: the write side first, because the tracers
    /// send to it.
    pub(crate) subsystems: Vec<Arc<dyn Subsystem>>,
    /// The shell and subprocess tracers.
    pub(crate) programs: Monitor,
    pub(crate) accounts: Accounts,
    /// Actors without which nothing can be stored. The agent ends if one of them is given up.
    pub(crate) essential: Vec<Arc<dyn AnyChild>>,
    /// The collector and its sinks.
    pub(crate) collector: CollectorHandle,
    ebpf: EbpfTracers,
    pin_keep: bool,
    may_unpin: bool,
    #[cfg(feature = "fault-injection")]
    pub(crate) faults: crate::faults::Faults,
}

impl Topology {
    /// Returns all tracers that exist at the moment, including those that can't run.
    pub(crate) fn tracers(&self) -> Vec<Tracer> {
        self.subsystems.iter().flat_map(|subsystem| subsystem.tracers()).collect()
    }

    /// Returns all actors that exist at the moment, in the order in which they are stopped.
    pub(crate) fn stage(&self) -> Stage {
        let children: Vec<_> = self.subsystems.iter().flat_map(|subsystem| subsystem.children()).collect();
        let mut stage = Stage::new();
        for group in Group::ALL {
            let own = children.iter().filter(|(of, _)| *of == group);
            stage.add(group.as_str(), own.map(|(_, child)| child.clone()).collect());
        }
        stage
    }

    /// Returns a tracer's account with the sink that `status` shows.
    pub(crate) fn account(&self, tracer: &TracerName) -> AccountSnapshot {
        let account = self.accounts.of(tracer);
        self.accounts.shown_sink().map(|sink| account.snapshot_of(&sink)).unwrap_or_default()
    }

    /// Stops all actors, sources first. With `keep`, pinned programs keep recording into their rings for the next start.
    /// Otherwise they are unpinned at the very end, after everything is flushed, so that a crash during the stop loses
    /// nothing. If the host did not end in time, they stay pinned: the next start reads what it has not read.
    pub(crate) async fn stop(&self, keep: Option<bool>, workdir: &Path) {
        let keep = keep.unwrap_or(self.pin_keep);
        self.ebpf.leave_pins(keep);
        self.stage().stop().await;
        if !self.may_unpin || keep {
            return;
        }
        if self.ebpf.host().is_some_and(|host| has_left_records(host.as_ref())) {
            tracing::error!("{STILL_PINNED}");
        } else {
            crate::unpinning::unpin(workdir).await;
        }
    }
}

/// Returns whether records may be left in pinned rings: the host did not end by itself when it was stopped.
fn has_left_records(host: &dyn AnyChild) -> bool {
    let status = host.status();
    let is_pinned = !host.state_json()["pin"]["pin"].is_null();
    is_pinned && status.phase == Phase::Stopped && status.exits.stopped == 0
}

/// Starts all actors. `host` is the additional sink of the `child` command, which sends rows to the parent program.
pub(crate) async fn assemble(
    config: &Config,
    workdir: &Path,
    watched: bool,
    host: Option<SinkSpec>,
) -> Result<Topology, Failure> {
    if config.collector.sinks().is_empty() && host.is_none() {
        return Err(no_sink());
    }
    // A parent that is an agent stores its own manifest and may refuse rows of that name.
    let kernel = KernelOptions { watched, manifest: host.is_none() };
    let (accounts, processes, supervisor) = (Accounts::default(), ProcessTable::default(), Supervisor::new());

    let collector = collector::spawn(
        &supervisor,
        &config.collector,
        &config.filter,
        accounts.clone(),
        processes.clone(),
        workdir,
        host,
    )
    .map_err(|cause| Failure::Failed(cause.into()))?;
    let segments = segments(&supervisor, &collector, config);
    let pinning = pinning(workdir, &collector)?;
    let may_unpin = pinning.is_some();
    if !may_unpin && kernel.manifest && bpf_programs::unpin(workdir) {
        tracing::warn!("removed pinned rings and the records in them: no store is enabled now");
    }
    let ebpf = bpf_programs::spawn(
        &supervisor,
        kernel.settings(config),
        &accounts,
        processes,
        &collector.outbox,
        pinning,
    );
    let wiring = Wiring {
        accounts: accounts.clone(),
        outbox: collector.outbox.clone(),
        reserved: Reserved::new(reserved_names(config)),
        launcher: Launcher::own(),
    };
    let monitor = shell_monitor::spawn(&supervisor, &config.shell_monitor(), &wiring);
    let templates = template::spawn(&supervisor, &config.bpf_templates(), &accounts, &collector.outbox);

    Ok(Topology {
        #[cfg(feature = "fault-injection")]
        faults: crate::faults::Faults::new(&ebpf, &templates, &collector),
        essential: vec![Arc::new(collector.collector.clone())],
        subsystems: vec![
            Arc::new(WriteSide { handle: collector.clone() }),
            Arc::new(segments),
            Arc::new(Kernel { tracers: ebpf.clone(), options: kernel }),
            Arc::new(Programs { monitor: monitor.clone() }),
            Arc::new(BpfTemplates { templates, kernel: ebpf.clone() }),
        ],
        programs: monitor,
        ebpf,
        pin_keep: config.ebpf.pin_keep,
        may_unpin,
        accounts,
        collector,
    })
}

/// Starts the actor that keeps the store within its limits.
fn segments(supervisor: &Supervisor, collector: &CollectorHandle, config: &Config) -> Segments {
    let settings = SharedSettings::new(config.store.clone().into());
    let (collector, shared) = (collector.clone(), settings.clone());
    let sealer = supervisor
        .spawn_loop(Spec::new("sealer"), move |ctx| Sealer::new(ctx, collector.clone(), shared.clone()));
    Segments { sealer, settings }
}

fn no_sink() -> Failure {
    let keys: Vec<String> = SinkConfig::NAMES.iter().map(|name| format!("collector.{name}")).collect();
    let (last, others) = keys.split_last().map_or(("", &[][..]), |(last, others)| (last, others));
    Failure::failed(format!("no sink is enabled: set disabled = false in {} or {last}", others.join(", ")))
}

/// Returns what is needed to pin or adopt rings, and to say what is missing since an earlier run, in particular the ring
/// positions that the store has recorded; `None` without a store.
fn pinning(workdir: &Path, collector: &CollectorHandle) -> Result<Option<Pinning>, Failure> {
    if collector.store().is_none() {
        return Ok(None);
    }
    let remembered = collector.remembered().map_err(|cause| Failure::Failed(cause.into()))?;
    Ok(Some(Pinning::new(workdir.to_owned(), collector.collector_id.clone(), remembered)))
}

/// A tracer of the configuration, enabled or not.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configured {
    pub(crate) name: String,
    pub(crate) kind: TracerKind,
    pub(crate) stored_as: String,
    pub(crate) disabled: bool,
    /// Hooks of a kernel tracer; the program of any other.
    pub(crate) hooks: Vec<String>,
}

/// Returns every tracer of the configuration, including disabled ones; but shell and subprocess templates only if enabled.
pub(crate) fn configured(config: &Config) -> Vec<Configured> {
    let kernel = bpf_programs::tracers().map(|tracer| {
        let section = config.tracer.kernel.of(tracer.name);
        Configured {
            name: tracer.name.to_owned(),
            kind: TracerKind::Ebpf,
            stored_as: section.name,
            disabled: config.ebpf.disabled || section.disabled,
            hooks: tracer.hook_names(),
        }
    });
    let mut all: Vec<Configured> = kernel.collect();
    let own = config.shell_monitor();
    let row = |name: &TracerName, kind, comm: &[String]| Configured {
        name: name.to_string(),
        kind,
        stored_as: name.to_string(),
        disabled: false,
        hooks: comm.to_vec(),
    };
    all.extend(own.shells().iter().map(|tracer| row(&tracer.name, TracerKind::Shell, &tracer.command.comm)));
    all.extend(
        own.subprocesses()
            .iter()
            .map(|tracer| row(&tracer.name, TracerKind::Subprocess, &tracer.command.comm)),
    );
    all.extend(config.tracer.template.bpf.iter().map(|(section, template)| Configured {
        name: section.clone(),
        kind: TracerKind::Template,
        stored_as: template.stored_as(section).to_string(),
        disabled: template.disabled || config.tracer.template.disabled,
        hooks: vec![template.program.clone()],
    }));
    all
}
