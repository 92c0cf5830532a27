//! All tracers of this crate and their hosts: made from a configuration, and brought in line with another one while
//! the agent runs.
//!
//! A tracer whose settings are the same before and after, those it inherits included, is not touched. One that goes,
//! or comes back with other settings, stops in order first: what it holds is sent. Its account stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::{AnyChild, ChildRef, Spec, Supervisor};
use model::{Changes, Problem, TracerName};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::host::{Attach, Detach, Host, HostError, HostState, Kept, Set, Switch};
use crate::settings::{ShellSettings, SubprocessSettings};
use crate::shell::{self, Cache, ShellState, ShellTracer};
use crate::subprocess::{self, SubprocessState, SubprocessTracer};
use crate::wiring::Wiring;
use crate::{ShellHost, SubprocessHost};

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
    switch: Arc<Switch>,
}

impl Tracer {
    /// Whether it is at work: a shell tracer between its runs is.
    pub fn is_attached(&self) -> bool {
        self.switch.is_attached()
    }

    /// Whether it is to be at work: nobody has detached it.
    pub fn is_wanted(&self) -> bool {
        self.switch.is_wanted()
    }
}

/// All tracers of this crate and their hosts. Clones are of the same ones.
#[derive(Clone)]
pub struct Monitor {
    inner: Arc<Inner>,
}

struct Inner {
    supervisor: Supervisor,
    wiring: Wiring,
    permits: Arc<Semaphore>,
    shells: Set<ShellTracer, ShellState>,
    subprocesses: Set<SubprocessTracer, SubprocessState>,
    shell_host: ChildRef<ShellHost, HostState>,
    subprocess_host: ChildRef<SubprocessHost, HostState>,
    present: Mutex<Present>,
    /// Held by whoever changes which tracers there are, or whether one is wanted: one at a time.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Present {
    wanted: Wanted,
    caches: BTreeMap<TracerName, Cache>,
}

/// The tracers that a configuration asks for.
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

/// Makes every tracer that is not disabled, and both hosts.
///
/// `config` must be valid ([`Config::validate`]). A tracer that can't run says so in its status; the others do.
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

fn spawn_host<A: actors::Child, S: actors::State>(
    supervisor: &Supervisor,
    name: &str,
    tracers: &Set<A, S>,
) -> ChildRef<Host<A, S>, HostState> {
    let tracers = tracers.clone();
    supervisor.spawn(Spec::new(name), move |link| Host::new(link, tracers.clone()))
}

impl Monitor {
    /// The tracers as they are now, by name.
    pub fn tracers(&self) -> Vec<Tracer> {
        let present = self.inner.present();
        let tracers = present.wanted.tracers.iter();
        tracers.filter_map(|(name, settings)| self.inner.tracer(name, settings)).collect()
    }

    /// The hosts: to be stopped after the tracers.
    pub fn hosts(&self) -> Vec<Arc<dyn AnyChild>> {
        vec![Arc::new(self.inner.shell_host.clone()), Arc::new(self.inner.subprocess_host.clone())]
    }

    /// A shell tracer's actor, for its cache.
    pub fn shell(&self, name: &TracerName) -> Option<ChildRef<ShellTracer, ShellState>> {
        self.inner.shells.get(name).map(|kept| kept.child)
    }

    /// Names no child may store under from now on.
    pub fn reserve(&self, names: impl IntoIterator<Item = TracerName>) {
        self.inner.wiring.reserved.replace(names);
    }

    /// Starts a tracer that was detached, given up, or has finished.
    ///
    /// # Errors
    /// When there is none of that name, it falls again at once, or takes too long.
    pub async fn attach(&self, name: &TracerName) -> Result<(), HostError> {
        let _changing = self.inner.changing.lock().await;
        let answered = match self.inner.kind(name)? {
            Kind::Shell => self.inner.shell_host.ask(Attach(name.clone())).await,
            Kind::Subprocess => self.inner.subprocess_host.ask(Attach(name.clone())).await,
        };
        answer(name, answered)
    }

    /// Stops a tracer, its process too, until it is attached again.
    ///
    /// # Errors
    /// When there is none of that name, or it takes too long.
    pub async fn detach(&self, name: &TracerName) -> Result<(), HostError> {
        let _changing = self.inner.changing.lock().await;
        let answered = match self.inner.kind(name)? {
            Kind::Shell => self.inner.shell_host.ask(Detach(name.clone())).await,
            Kind::Subprocess => self.inner.subprocess_host.ask(Detach(name.clone())).await,
        };
        answer(name, answered)
    }

    /// Looks whether `config` could be applied. Nothing that runs is touched.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        let problems = config.validate();
        if problems.is_empty() { Ok(Prepared { wanted: Wanted::of(config) }) } else { Err(problems) }
    }

    /// Removes, restarts and adds what differs from before, in that order. Comes back when all that went has ended
    /// and what it held is sent; a caller that does not wait for that cuts nothing short. A tracer that was detached
    /// and has other settings now stays detached.
    pub async fn apply(&self, prepared: Prepared) -> Changes {
        let inner = self.inner.clone();
        // It can only fail to be told what changed when the runtime shuts down.
        actix::spawn(async move { inner.apply(prepared.wanted).await }).await.unwrap_or_default()
    }
}

/// What is different, in words.
fn changes(before: &Wanted, after: &Wanted) -> Changes {
    let mut changes = Changes::default();
    let told = |name: &TracerName| format!("tracer {name}");
    for (name, settings) in &after.tracers {
        match before.tracers.get(name) {
            None => changes.added.push(told(name)),
            Some(old) if old != settings => changes.restarted.push(told(name)),
            Some(_) => {}
        }
    }
    changes.removed =
        before.tracers.keys().filter(|name| !after.tracers.contains_key(name)).map(told).collect();
    if before.max_running != after.max_running {
        changes.changed.push("setting shell.max_running".to_owned());
    }
    changes
}

impl Inner {
    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
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
            let switch = switches.get(name).map_or_else(Switch::new, |switch| switch.heir());
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

    /// Makes a tracer's actor.
    fn start(&self, settings: &Settings, switch: Arc<Switch>, cache: Cache) {
        let (wiring, kept_switch) = (self.wiring.clone(), switch.clone());
        match settings.clone() {
            Settings::Shell(settings) => {
                let (name, spec) = (settings.name.clone(), shell::spec(&settings));
                self.present().caches.insert(name.clone(), cache.clone());
                let shared = (cache, self.permits.clone());
                let child = self.supervisor.spawn(spec, move |link| {
                    ShellTracer::new(link, settings.clone(), wiring.clone(), switch.clone(), shared.clone())
                });
                self.shells.add(name, Kept { child, switch: kept_switch });
            }
            Settings::Subprocess(settings) => {
                let (name, spec) = (settings.name.clone(), subprocess::spec(&settings));
                let child = self.supervisor.spawn(spec, move |link| {
                    SubprocessTracer::new(link, settings.clone(), wiring.clone(), switch.clone())
                });
                self.subprocesses.add(name, Kept { child, switch: kept_switch });
            }
        }
    }

    /// Stops tracers in order, all at once, and forgets them; gives back their switches.
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

    /// A shell tracer that does the same as before, only at other times, goes on with its cache: what was emitted is
    /// not emitted again.
    fn inherited_cache(&self, before: Option<&Settings>, after: &Settings) -> Cache {
        let mut present = self.present();
        match (before, after) {
            (Some(Settings::Shell(before)), Settings::Shell(after)) if before.emits_like(after) => {
                present.caches.remove(&after.name).unwrap_or_default()
            }
            _ => Cache::default(),
        }
    }

    /// Changes how many commands run side by side. Those that run go on; there are fewer as they end.
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
