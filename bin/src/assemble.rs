//! From configuration to actors: the whole topology on one page.
//!
//! ```text
//! ebpf host ─► kernel tracers ─┐
//!        shell tracers ────────┼─► collector ─► sinks (sqlite, memory, jsonl)
//!        subprocess tracers ───┤
//!        eBPF templates ───────┘
//! ```

use std::path::Path;
use std::sync::Arc;

use actors::{AnyChild, Stage, Supervisor};
use bpf_programs::programs::Hook;
use bpf_programs::template;
use bpf_programs::{EbpfTracers, Pinning};
use collector::{CollectorHandle, OwnSink};
use model::{AccountSnapshot, Accounts, ProcessTable, TracerName};
use serde::Serialize;
use shell_monitor::{Kind, Monitor, Reserved, Wiring};

use crate::config::Config;
use crate::exit::Failure;
use crate::part::{
    BpfTemplates, EBPF, Group, Kernel, Part, Programs, TEMPLATE, Tracer, WriteSide, kind_name, reserved_names,
};

/// Everybody, and how they hang together.
pub(crate) struct Topology {
    /// In the order in which a new configuration is applied: what rows need first.
    pub(crate) parts: Vec<Arc<dyn Part>>,
    /// Shell and subprocess tracers.
    pub(crate) programs: Monitor,
    pub(crate) accounts: Accounts,
    /// Actors without which nothing can be stored.
    pub(crate) essential: Vec<Arc<dyn AnyChild>>,
    /// The write side.
    pub(crate) collector: CollectorHandle,
    ebpf: EbpfTracers,
    pin_keep: bool,
    may_unpin: bool,
    #[cfg(feature = "fault-injection")]
    pub(crate) faults: crate::faults::Faults,
}

impl Topology {
    /// Everything that traces now, or should.
    pub(crate) fn tracers(&self) -> Vec<Tracer> {
        self.parts.iter().flat_map(|part| part.tracers()).collect()
    }

    /// Everybody there is now, in stop order.
    pub(crate) fn stage(&self) -> Stage {
        let children: Vec<_> = self.parts.iter().flat_map(|part| part.children()).collect();
        let mut stage = Stage::new();
        for group in Group::ALL {
            let own = children.iter().filter(|(of, _)| *of == group);
            stage.add(group.as_str(), own.map(|(_, child)| child.clone()).collect());
        }
        stage
    }

    /// A tracer's books with the first sink: those that people are told.
    pub(crate) fn books(&self, tracer: &TracerName) -> AccountSnapshot {
        let account = self.accounts.of(tracer);
        self.collector.first_sink().map(|sink| account.snapshot(&sink)).unwrap_or_default()
    }

    /// Stops everybody, sources first. With `keep` what is pinned stays at work for the next start; else it is let go
    /// when everything is flushed, so that a crash on the way costs nothing.
    pub(crate) async fn stop(&self, keep: Option<bool>, workdir: &Path) {
        let keep = keep.unwrap_or(self.pin_keep);
        self.ebpf.set_keep(keep);
        self.stage().stop().await;
        if self.may_unpin && !keep {
            bpf_programs::unpin(workdir);
        }
    }
}

/// Starts everybody. `host` is the sink of a process that is somebody's child.
pub(crate) async fn assemble(
    config: &Config,
    workdir: &Path,
    watched: bool,
    host: Option<OwnSink>,
) -> Result<Topology, Failure> {
    let mut sinks = config.collector.sinks();
    sinks.extend(host.as_ref().map(|host| host.name.clone()));
    if sinks.is_empty() {
        return Err(Failure::failed("no sink is enabled"));
    }
    let (accounts, processes, supervisor) =
        (Accounts::new(&sinks), ProcessTable::default(), Supervisor::new());

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
    let pinning = pinning(config, workdir, &collector)?;
    let may_unpin = pinning.is_some();
    let ebpf = bpf_programs::spawn(
        &supervisor,
        &Kernel::settings(config, watched),
        &config.tracer.kernel,
        &accounts,
        processes,
        &collector.outbox,
        pinning,
    );
    let wiring = Wiring {
        accounts: accounts.clone(),
        outbox: collector.outbox.clone(),
        reserved: Reserved::new(reserved_names(config)),
    };
    let monitor = shell_monitor::spawn(&supervisor, &config.shell_monitor(), &wiring);
    let templates = template::spawn(&supervisor, &config.bpf_templates(), &accounts, &collector.outbox);

    Ok(Topology {
        #[cfg(feature = "fault-injection")]
        faults: crate::faults::Faults::new(&ebpf, &templates, &collector),
        essential: vec![Arc::new(collector.collector.clone())],
        parts: vec![
            Arc::new(WriteSide { handle: collector.clone() }),
            Arc::new(Kernel { tracers: ebpf.clone(), watched }),
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

/// What pinned rings need to know, if they are wanted: above all how far the store has got with them.
fn pinning(config: &Config, workdir: &Path, collector: &CollectorHandle) -> Result<Option<Pinning>, Failure> {
    // What an agent pinned before, and this one doesn't go on with, is to be booked as well.
    if collector.store().is_none() || !config.ebpf.pin && !bpf_programs::is_pinned(workdir) {
        return Ok(None);
    }
    let remembered = collector.remembered().map_err(|cause| Failure::Failed(cause.into()))?;
    Ok(Some(Pinning::new(workdir.to_owned(), collector.collector_id.clone(), remembered)))
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

/// Every tracer the configuration knows, disabled ones too (shell and subprocess templates only if enabled).
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
    all.extend(config.tracer.template.bpf.iter().map(|(section, template)| Configured {
        name: section.clone(),
        kind: TEMPLATE,
        stored_as: template.stored_as(section).to_string(),
        disabled: template.disabled || config.tracer.template.disabled,
        hooks: vec![template.program.clone()],
    }));
    all
}

/// The names of a program's hooks, as the kernel has them.
fn hook_names(hook: &Hook) -> Vec<String> {
    match hook {
        Hook::SyscallExits(_, calls) => bpf_programs::syscalls::hook_names(calls),
        Hook::Tracepoints { category, required, optional } => {
            required.iter().chain(*optional).map(|name| format!("{category}/{name}")).collect()
        }
        Hook::BtfTracepoint(name) => vec![(*name).to_owned()],
        Hook::FirstBtfTracepoint(names) => names.first().map(|name| (*name).to_owned()).into_iter().collect(),
        Hook::TaskIterator => vec!["iter/task".to_owned()],
    }
}
