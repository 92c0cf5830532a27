//! Tracers that are other programs: *shell* tracers run a command at an interval, *subprocess* tracers keep a
//! child that speaks duetector's JSON-lines protocol. Whatever such a program does, it costs no one but itself.
//!
//! [`spawn`] makes them all from their settings; each is a supervised actor of its own, with its story in its
//! status. The hosts are actors too, and answer [`Attach`] and [`Detach`] at run time; see [`host`] for why they
//! own so little.

mod command;
pub mod config;
mod duty;
pub mod host;
pub mod intake;
pub mod lines;
mod names;
mod pending;
mod pipe;
pub mod process;
pub mod protocol;
mod repair;
mod session;
pub mod settings;
pub mod shell;
pub mod stderr;
pub mod subprocess;
mod talk;
mod validate;
pub mod wiring;

use std::collections::BTreeMap;
use std::sync::Arc;

use actors::{AnyChild, ChildRef, Spec, Supervisor};
use model::TracerName;
use tokio::sync::Semaphore;

pub use config::Config;
pub use host::{Attach, Detach, HostError, HostState};
pub use shell::{ClearCache, GetCache, SetCache, ShellState, ShellTracer};
pub use subprocess::{SubprocessState, SubprocessTracer};
pub use wiring::Wiring;

use host::{Host, Kept, Switch};

/// Host of shell tracers.
pub type ShellHost = Host<ShellTracer, ShellState>;
/// Host of subprocess tracers.
pub type SubprocessHost = Host<SubprocessTracer, SubprocessState>;

/// What kind of program a tracer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A command, run at an interval.
    Shell,
    /// A child that is kept.
    Subprocess,
}

/// A tracer of this crate.
#[derive(Clone)]
pub struct Tracer {
    /// The name it is stored under.
    pub name: TracerName,
    /// The configuration section it comes from.
    pub section: String,
    /// What kind it is.
    pub kind: Kind,
    /// The program and its arguments.
    pub comm: Vec<String>,
    /// The actor.
    pub child: Arc<dyn AnyChild>,
}

/// All tracers of this crate and their hosts.
pub struct Monitor {
    tracers: Vec<Tracer>,
    shells: BTreeMap<TracerName, ChildRef<ShellTracer, ShellState>>,
    shell_host: Option<ChildRef<ShellHost, HostState>>,
    subprocess_host: Option<ChildRef<SubprocessHost, HostState>>,
}

/// Makes every tracer that is not disabled, and a host for each kind there is a tracer of.
///
/// `config` must be valid ([`Config::validate`]). A tracer that can't run says so in its status; the others do.
///
/// # Panics
/// Outside an actix system.
pub fn spawn(supervisor: &Supervisor, config: &Config, wiring: &Wiring) -> Monitor {
    let mut monitor =
        Monitor { tracers: Vec::new(), shells: BTreeMap::new(), shell_host: None, subprocess_host: None };
    monitor.spawn_shells(supervisor, config, wiring);
    monitor.spawn_subprocesses(supervisor, config, wiring);
    monitor
}

impl Monitor {
    /// The tracers.
    pub fn tracers(&self) -> &[Tracer] {
        &self.tracers
    }

    /// The hosts: to be stopped after the tracers.
    pub fn hosts(&self) -> Vec<Arc<dyn AnyChild>> {
        let mut hosts: Vec<Arc<dyn AnyChild>> = Vec::new();
        if let Some(host) = &self.shell_host {
            hosts.push(Arc::new(host.clone()));
        }
        if let Some(host) = &self.subprocess_host {
            hosts.push(Arc::new(host.clone()));
        }
        hosts
    }

    /// A shell tracer's actor, for its cache.
    pub fn shell(&self, name: &TracerName) -> Option<&ChildRef<ShellTracer, ShellState>> {
        self.shells.get(name)
    }

    /// Starts a tracer that was detached.
    ///
    /// # Errors
    /// When there is none of that name, it will not run again, or takes too long.
    pub async fn attach(&self, name: &TracerName) -> Result<(), HostError> {
        match (self.host_of(name), &self.shell_host, &self.subprocess_host) {
            (Some(Kind::Shell), Some(host), _) => answer(name, host.ask(Attach(name.clone())).await),
            (Some(Kind::Subprocess), _, Some(host)) => answer(name, host.ask(Attach(name.clone())).await),
            _ => Err(HostError::Unknown(name.clone())),
        }
    }

    /// Stops a tracer, its process too, until it is attached again.
    ///
    /// # Errors
    /// When there is none of that name, or it takes too long.
    pub async fn detach(&self, name: &TracerName) -> Result<(), HostError> {
        match (self.host_of(name), &self.shell_host, &self.subprocess_host) {
            (Some(Kind::Shell), Some(host), _) => answer(name, host.ask(Detach(name.clone())).await),
            (Some(Kind::Subprocess), _, Some(host)) => answer(name, host.ask(Detach(name.clone())).await),
            _ => Err(HostError::Unknown(name.clone())),
        }
    }

    fn host_of(&self, name: &TracerName) -> Option<Kind> {
        self.tracers.iter().find(|tracer| tracer.name == *name).map(|tracer| tracer.kind)
    }

    fn spawn_shells(&mut self, supervisor: &Supervisor, config: &Config, wiring: &Wiring) {
        let permits = Arc::new(Semaphore::new(config.shell.max_running as usize));
        let mut kept = BTreeMap::new();
        for settings in config.shells() {
            let (settings, switch) = (Arc::new(settings), Switch::new());
            let shared = (shell::Cache::default(), permits.clone());
            let child = supervisor.spawn(shell::spec(&settings), {
                let (settings, wiring, switch) = (settings.clone(), wiring.clone(), switch.clone());
                move |link| {
                    ShellTracer::new(link, settings.clone(), wiring.clone(), switch.clone(), shared.clone())
                }
            });
            self.tracers.push(Tracer {
                name: settings.name.clone(),
                section: settings.section.clone(),
                kind: Kind::Shell,
                comm: settings.command.comm.clone(),
                child: Arc::new(child.clone()),
            });
            self.shells.insert(settings.name.clone(), child.clone());
            kept.insert(settings.name.clone(), Kept { child, switch });
        }
        if !kept.is_empty() {
            let kept = Arc::new(kept);
            self.shell_host =
                Some(supervisor.spawn(Spec::new("shell host"), move |link| Host::new(link, kept.clone())));
        }
    }

    fn spawn_subprocesses(&mut self, supervisor: &Supervisor, config: &Config, wiring: &Wiring) {
        let mut kept = BTreeMap::new();
        for settings in config.subprocesses() {
            let (settings, switch) = (Arc::new(settings), Switch::new());
            let child = supervisor.spawn(subprocess::spec(&settings), {
                let (settings, wiring, switch) = (settings.clone(), wiring.clone(), switch.clone());
                move |link| SubprocessTracer::new(link, settings.clone(), wiring.clone(), switch.clone())
            });
            self.tracers.push(Tracer {
                name: settings.name.clone(),
                section: settings.section.clone(),
                kind: Kind::Subprocess,
                comm: settings.command.comm.clone(),
                child: Arc::new(child.clone()),
            });
            kept.insert(settings.name.clone(), Kept { child, switch });
        }
        if !kept.is_empty() {
            let kept = Arc::new(kept);
            let spec = Spec::new("subprocess host");
            self.subprocess_host = Some(supervisor.spawn(spec, move |link| Host::new(link, kept.clone())));
        }
    }
}

fn answer(
    tracer: &TracerName,
    answer: Result<Result<(), HostError>, actors::AskError>,
) -> Result<(), HostError> {
    answer.unwrap_or_else(|cause| Err(HostError::Host { tracer: tracer.clone(), cause }))
}
