//! All tracers of this crate and their hosts: started from a configuration, and adapted to another one while the
//! agent runs.
//!
//! A tracer with the same settings before and after, including inherited ones, is not touched. A tracer that is
//! removed, or restarted with other settings, first stops in order, so that all its records are sent. Its account
//! stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use actors::{ActorLoop, AnyChild, ChildRef, LoopRef, Spec, Supervisor};
use model::lock::lock;
use model::{Changes, Problem, TracerName};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::host::{Attach, Detach, Host, HostError, HostState, Kept, Set, Switch};
use crate::settings::{ShellSettings, SubprocessSettings};
use crate::shell::{self, Cache, ShellTracer};
use crate::subprocess::{self, SubprocessTracer};
use crate::wiring::Wiring;
use crate::{ShellHost, SubprocessHost};

/// Kind of a tracer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs a command at an interval.
    Shell,
    /// Keeps a child process running.
    Subprocess,
}

/// A shell or subprocess tracer.
#[derive(Clone)]
pub struct Tracer {
    /// Name that its rows are stored under.
    pub name: TracerName,
    /// Configuration section that defines it.
    pub section: String,
    /// Kind of the tracer.
    pub kind: Kind,
    /// Program and arguments.
    pub comm: Vec<String>,
    /// The tracer's actor.
    pub child: Arc<dyn AnyChild>,
    switch: Arc<Switch>,
}

impl Tracer {
    /// Returns whether the tracer runs; a shell tracer also does between its runs.
    pub fn is_attached(&self) -> bool {
        self.switch.is_attached()
    }

    /// Returns whether the tracer should run, which is true unless it was detached.
    pub fn is_wanted(&self) -> bool {
        self.switch.is_wanted()
    }
}

/// Handle to all tracers of this crate and their hosts. Clones refer to the same ones.
#[derive(Clone)]
pub struct Monitor {
    inner: Arc<Inner>,
}

struct Inner {
    supervisor: Supervisor,
    wiring: Wiring,
    permits: Arc<Semaphore>,
    shells: Set<ShellTracer>,
    subprocesses: Set<SubprocessTracer>,
    shell_host: ChildRef<ShellHost, HostState>,
    subprocess_host: ChildRef<SubprocessHost, HostState>,
    present: Mutex<Present>,
    /// Held while the set of tracers or a switch changes: one change at a time.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Present {
    wanted: Wanted,
    caches: BTreeMap<TracerName, Cache>,
}

/// Tracers that a configuration asks for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    max_running: u32,
    tracers: BTreeMap<TracerName, Settings>,
}

#[derive(Clone, Debug, PartialEq)]
enum Settings {
    Shell(Arc<ShellSettings>),
    Subprocess(Arc<SubprocessSettings>),
}

/// A valid configuration, ready to be applied.
#[derive(Debug)]
pub struct Prepared {
    wanted: Wanted,
}

impl Wanted {
    fn of(config: &Config) -> Self {
        let shells = config.shells().into_iter().map(|it| (it.name.clone(), Settings::Shell(Arc::new(it))));
        let children = config.subprocesses().into_iter();
        let children = children.map(|it| (it.name.clone(), Settings::Subprocess(Arc::new(it))));
        Self { max_running: config.shell.max_running, tracers: shells.chain(children).collect() }
    }
}

/// Starts every enabled tracer, and both hosts.
///
/// `config` must be valid ([`Config::validate`]). A tracer that can't run reports this in its status; the others run.
///
/// # Panics
/// Outside an actix system.
pub fn spawn(supervisor: &Supervisor, config: &Config, wiring: &Wiring) -> Monitor {
    let (shells, subprocesses) = (Set::default(), Set::default());
    let wanted = Wanted::of(config);
    let inner = Inner {
        supervisor: supervisor.clone(),
        wiring: wiring.clone(),
        permits: Arc::new(Semaphore::new(wanted.max_running as usize)),
        shell_host: spawn_host(supervisor, "shell host", &shells),
        subprocess_host: spawn_host(supervisor, "subprocess host", &subprocesses),
        shells,
        subprocesses,
        present: Mutex::default(),
        changing: tokio::sync::Mutex::default(),
    };
    for settings in wanted.tracers.values() {
        inner.start(settings, Switch::new(), Cache::default());
    }
    inner.present().wanted = wanted;
    Monitor { inner: Arc::new(inner) }
}

fn spawn_host<L: ActorLoop>(
    supervisor: &Supervisor,
    name: &str,
    tracers: &Set<L>,
) -> ChildRef<Host<L>, HostState> {
    let tracers = tracers.clone();
    supervisor.spawn(Spec::new(name), move |ctx| Host::new(ctx, tracers.clone()))
}

impl Monitor {
    /// Returns the current tracers, by name.
    pub fn tracers(&self) -> Vec<Tracer> {
        let present = self.inner.present();
        let tracers = present.wanted.tracers.iter();
        tracers.filter_map(|(name, settings)| self.inner.tracer(name, settings)).collect()
    }

    /// Returns the hosts. Stop them after the tracers.
    pub fn hosts(&self) -> Vec<Arc<dyn AnyChild>> {
        vec![Arc::new(self.inner.shell_host.clone()), Arc::new(self.inner.subprocess_host.clone())]
    }

    /// Returns a shell tracer's actor, to read or set its cache.
    pub fn shell(&self, name: &TracerName) -> Option<LoopRef<ShellTracer>> {
        self.inner.shells.get(name).map(|kept| kept.child)
    }

    /// Sets the names that no child may store events under.
    pub fn reserve(&self, names: impl IntoIterator<Item = TracerName>) {
        self.inner.wiring.reserved.replace(names);
    }

    /// Starts a tracer that was detached or given up, or has finished.
    ///
    /// # Errors
    /// No tracer has this name, the tracer ends again at once, or it does not start in time.
    pub async fn attach(&self, name: &TracerName) -> Result<(), HostError> {
        let _changing = self.inner.changing.lock().await;
        let answered = match self.inner.kind(name)? {
            Kind::Shell => self.inner.shell_host.ask(Attach(name.clone())).await,
            Kind::Subprocess => self.inner.subprocess_host.ask(Attach(name.clone())).await,
        };
        answer(name, answered)
    }

    /// Stops a tracer and its process until it is attached again.
    ///
    /// # Errors
    /// No tracer has this name, or it does not end in time.
    pub async fn detach(&self, name: &TracerName) -> Result<(), HostError> {
        let _changing = self.inner.changing.lock().await;
        let answered = match self.inner.kind(name)? {
            Kind::Shell => self.inner.shell_host.ask(Detach(name.clone())).await,
            Kind::Subprocess => self.inner.subprocess_host.ask(Detach(name.clone())).await,
        };
        answer(name, answered)
    }

    /// Checks whether `config` could be applied. Nothing that runs is touched.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        let problems = config.validate();
        if problems.is_empty() { Ok(Prepared { wanted: Wanted::of(config) }) } else { Err(problems) }
    }

    /// Removes, restarts and adds tracers that differ from before, in this order. Returns when all tracers that were
    /// stopped have ended and their records are sent. If the caller drops the future, the change is completed all the
    /// same. A detached tracer whose settings change stays detached.
    pub async fn apply(&self, prepared: Prepared) -> Changes {
        let inner = self.inner.clone();
        // This fails only when the runtime shuts down; then nobody needs the list of changes.
        actix::spawn(async move { inner.apply(prepared.wanted).await }).await.unwrap_or_default()
    }
}

/// Describes the differences in words.
fn changes(before: &Wanted, after: &Wanted) -> Changes {
    let mut changes = Changes::default();
    let label = |name: &TracerName| format!("tracer {name}");
    for (name, settings) in &after.tracers {
        match before.tracers.get(name) {
            None => changes.added.push(label(name)),
            Some(old) if old != settings => changes.restarted.push(label(name)),
            Some(_) => {}
        }
    }
    changes.removed =
        before.tracers.keys().filter(|name| !after.tracers.contains_key(name)).map(label).collect();
    if before.max_running != after.max_running {
        changes.changed.push("setting shell.max_running".to_owned());
    }
    changes
}

impl Inner {
    fn present(&self) -> MutexGuard<'_, Present> {
        lock(&self.present)
    }

    fn kind(&self, name: &TracerName) -> Result<Kind, HostError> {
        match self.present().wanted.tracers.get(name) {
            Some(Settings::Shell(_)) => Ok(Kind::Shell),
            Some(Settings::Subprocess(_)) => Ok(Kind::Subprocess),
            None => Err(HostError::Unknown(name.clone())),
        }
    }

    fn tracer(&self, name: &TracerName, settings: &Settings) -> Option<Tracer> {
        let (child, switch): (Arc<dyn AnyChild>, _) = match settings {
            Settings::Shell(_) => {
                let kept = self.shells.get(name)?;
                (Arc::new(kept.child), kept.switch)
            }
            Settings::Subprocess(_) => {
                let kept = self.subprocesses.get(name)?;
                (Arc::new(kept.child), kept.switch)
            }
        };
        let (kind, section, comm) = match settings {
            Settings::Shell(it) => (Kind::Shell, &it.section, &it.command.comm),
            Settings::Subprocess(it) => (Kind::Subprocess, &it.section, &it.command.comm),
        };
        Some(Tracer { name: name.clone(), section: section.clone(), kind, comm: comm.clone(), child, switch })
    }

    async fn apply(&self, after: Wanted) -> Changes {
        let _changing = self.changing.lock().await;
        let before = self.present().wanted.clone();
        let goes =
            before.tracers.iter().filter(|(name, settings)| after.tracers.get(*name) != Some(settings));
        let goes: Vec<&TracerName> = goes.map(|(name, _)| name).collect();
        let switches = self.stop(&goes).await;
        for (name, settings) in &after.tracers {
            if before.tracers.get(name) == Some(settings) {
                continue;
            }
            let switch = switches.get(name).map_or_else(Switch::new, |switch| switch.successor());
            let cache = self.inherited_cache(before.tracers.get(name), settings);
            self.start(settings, switch, cache);
        }
        self.bound(before.max_running, after.max_running);
        let changes = changes(&before, &after);
        let mut present = self.present();
        present.caches.retain(|name, _| after.tracers.contains_key(name));
        present.wanted = after;
        changes
    }

    /// Starts a tracer's actor.
    fn start(&self, settings: &Settings, switch: Arc<Switch>, cache: Cache) {
        let (wiring, kept_switch) = (self.wiring.clone(), switch.clone());
        match settings.clone() {
            Settings::Shell(settings) => {
                let (name, spec) = (settings.name.clone(), shell::spec(&settings));
                self.present().caches.insert(name.clone(), cache.clone());
                let shared = (cache, self.permits.clone());
                let child = self.supervisor.spawn_loop(spec, move |ctx| {
                    ShellTracer::new(ctx, settings.clone(), wiring.clone(), switch.clone(), shared.clone())
                });
                self.shells.add(name, Kept { child, switch: kept_switch });
            }
            Settings::Subprocess(settings) => {
                let (name, spec) = (settings.name.clone(), subprocess::spec(&settings));
                let child = self.supervisor.spawn_loop(spec, move |ctx| {
                    SubprocessTracer::new(ctx, settings.clone(), wiring.clone(), switch.clone())
                });
                self.subprocesses.add(name, Kept { child, switch: kept_switch });
            }
        }
    }

    /// Stops these tracers at the same time, removes them, and returns their switches.
    async fn stop(&self, names: &[&TracerName]) -> BTreeMap<TracerName, Arc<Switch>> {
        let leaving: Vec<Tracer> = {
            let present = self.present();
            let tracers = names.iter().filter_map(|name| Some((*name, present.wanted.tracers.get(*name)?)));
            tracers.filter_map(|(name, settings)| self.tracer(name, settings)).collect()
        };
        futures::future::join_all(leaving.iter().map(|tracer| tracer.child.stop())).await;
        for tracer in &leaving {
            self.shells.remove(&tracer.name);
            self.subprocesses.remove(&tracer.name);
        }
        leaving.into_iter().map(|tracer| (tracer.name, tracer.switch)).collect()
    }

    /// Returns the cache for a new shell tracer. If it makes the same records as its predecessor, only at other
    /// times, it keeps the cache, so that no record is emitted twice.
    fn inherited_cache(&self, before: Option<&Settings>, after: &Settings) -> Cache {
        let mut present = self.present();
        match (before, after) {
            (Some(Settings::Shell(before)), Settings::Shell(after)) if before.emits_like(after) => {
                present.caches.remove(&after.name).unwrap_or_default()
            }
            _ => Cache::default(),
        }
    }

    /// Changes how many commands may run at the same time. Running commands continue; a lower limit takes effect as
    /// they end.
    fn bound(&self, before: u32, after: u32) {
        self.permits.add_permits(after.saturating_sub(before) as usize);
        let fewer = before.saturating_sub(after);
        if fewer > 0 {
            let permits = self.permits.clone();
            actix::spawn(async move {
                // The semaphore is never closed.
                if let Ok(gone) = permits.acquire_many(fewer).await {
                    gone.forget();
                }
            });
        }
    }
}

fn answer(
    tracer: &TracerName,
    answer: Result<Result<(), HostError>, actors::AskError>,
) -> Result<(), HostError> {
    answer.unwrap_or_else(|cause| Err(HostError::Host { tracer: tracer.clone(), cause }))
}
