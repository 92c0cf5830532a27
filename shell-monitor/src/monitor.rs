//! All tracers of this crate and their hosts: started from a configuration, and adapted to another one while the
//! agent runs.
//!
//! A tracer with the same settings before and after, including inherited ones, is not touched. A tracer that is
//! removed, or restarted with other settings, first stops in order, so that all its records are sent. Its account
//! stays.

use std::sync::{Arc, Mutex};

use actors::{AnyChild, ChildKind, ChildRef, ChildSet, LoopRef, Member, Prepared, Spec, Supervisor};
use model::lock::lock;
use model::{Change, Problem, Subject, TracerName, What};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::host::{Host, HostError, HostState, SetAttached};
use crate::settings::{ShellSettings, SubprocessSettings};
use crate::shell::{self, Cache, ShellTracer};
use crate::subprocess::{self, SubprocessTracer};
use crate::switch::Switch;
use crate::tracer::{Kind, Tracer};
use crate::wiring::Wiring;

/// Handle to all tracers of this crate and their hosts. Clones refer to the same ones.
#[derive(Clone)]
pub struct Monitor {
    set: ChildSet<Programs>,
}

/// Everything the tracers have in common.
struct Programs {
    supervisor: Supervisor,
    wiring: Wiring,
    permits: Arc<Semaphore>,
    max_running: Mutex<u32>,
    shell_host: ChildRef<Host, HostState>,
    subprocess_host: ChildRef<Host, HostState>,
}

#[derive(Clone, Debug, PartialEq)]
enum Settings {
    Shell(Arc<ShellSettings>),
    Subprocess(Arc<SubprocessSettings>),
}

/// Returns the settings of all tracers that a configuration asks for, by name.
fn wanted(config: &Config) -> Vec<Settings> {
    let shells = config.shells().into_iter().map(|it| Settings::Shell(Arc::new(it)));
    let children = config.subprocesses().into_iter().map(|it| Settings::Subprocess(Arc::new(it)));
    let mut tracers: Vec<Settings> = shells.chain(children).collect();
    tracers.sort_by_key(Programs::key);
    tracers
}

/// Starts every enabled tracer, and both hosts.
///
/// `config` must be valid ([`Config::validate`]). A tracer that can't run reports this in its status; the others run.
///
/// # Panics
/// Outside an actix system.
pub fn spawn(supervisor: &Supervisor, config: &Config, wiring: &Wiring) -> Monitor {
    let programs = Programs::new(supervisor, wiring, config.shell.max_running);
    Monitor { set: ChildSet::start_all(programs, wanted(config)) }
}

impl Monitor {
    /// Returns the current tracers, by name.
    pub fn tracers(&self) -> Vec<Tracer> {
        self.set.members().into_iter().filter_map(|member| member.child).collect()
    }

    /// Returns the hosts. Stop them after the tracers.
    pub fn hosts(&self) -> Vec<Arc<dyn AnyChild>> {
        let Programs { shell_host, subprocess_host, .. } = self.set.kind();
        vec![Arc::new(shell_host.clone()), Arc::new(subprocess_host.clone())]
    }

    /// Returns a shell tracer's actor, to read or set its cache.
    pub fn shell(&self, name: &TracerName) -> Option<LoopRef<ShellTracer>> {
        Some(self.set.get(name)?.child?.shell?.0)
    }

    /// Sets the names that no child may store events under.
    pub fn reserve(&self, names: impl IntoIterator<Item = TracerName>) {
        self.set.kind().wiring.reserved.replace(names);
    }

    /// Starts a tracer that was detached or given up, or has finished; or stops a tracer and its process until it is
    /// attached again. Returns false if it was in that state already.
    ///
    /// # Errors
    /// No tracer has this name, the tracer ends again at once, or it does not start or end in time.
    pub async fn set_enabled(&self, name: &TracerName, on: bool) -> Result<bool, HostError> {
        let done = self.set.set_enabled(name.clone(), on).await;
        done.unwrap_or_else(|| Err(HostError::Unknown(name.clone())))
    }

    /// Checks whether `config` could be applied. Nothing that runs is touched. The change then removes, restarts and adds
    /// tracers that differ from before, in this order. It is complete when all tracers that were stopped have ended and
    /// their records are sent. A detached tracer whose settings change stays detached.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        let (tracers, max_running) = (wanted(config), config.shell.max_running);
        self.set.prepare(config.validate(), move |set| async move {
            let mut changes = set.apply(tracers).await;
            if set.kind().bound(max_running) {
                let setting = Subject::Setting("shell.max_running".to_owned());
                changes.push(Change::new(What::Changed, setting));
            }
            changes
        })
    }
}

impl ChildKind for Programs {
    type Key = TracerName;
    type Settings = Settings;
    type Child = Tracer;
    type Error = HostError;
    const KEEPS_ACTOR: bool = true;

    fn key(settings: &Settings) -> TracerName {
        match settings {
            Settings::Shell(settings) => settings.name.clone(),
            Settings::Subprocess(settings) => settings.name.clone(),
        }
    }

    fn subject(settings: &Settings, _: Option<&Settings>) -> Subject {
        Subject::Tracer(Self::key(settings))
    }

    fn keeps_override(_: &Settings, _: &Settings) -> bool {
        true
    }

    fn actor(tracer: &Tracer) -> &dyn AnyChild {
        &*tracer.child
    }

    fn start(&self, settings: &Settings, before: Option<&Member<Self>>) -> Tracer {
        let child = before.and_then(|before| before.child.as_ref());
        let switch = child.map_or_else(Switch::new, |child| child.switch.successor());
        self.start_with(settings, switch, before)
    }

    async fn follow(&self, tracer: &Tracer, on: bool) -> Result<(), HostError> {
        let host = match tracer.kind {
            Kind::Shell => &self.shell_host,
            Kind::Subprocess => &self.subprocess_host,
        };
        let answer = host.ask(SetAttached { tracer: tracer.clone(), on }).await;
        answer.unwrap_or_else(|cause| Err(HostError::Host { tracer: tracer.name.clone(), cause }))
    }
}

/// Returns the cache for a new shell tracer. If it makes the same records as its predecessor, only at other times, it
/// keeps the cache, so that no record is emitted twice.
fn inherited_cache(before: Option<&Member<Programs>>, after: &ShellSettings) -> Cache {
    let Some(Member { settings: Settings::Shell(before), child, .. }) = before else {
        return Cache::default();
    };
    let child = child.as_ref().filter(|_| before.emits_like(after));
    child.and_then(|tracer| Some(tracer.shell.as_ref()?.1.clone())).unwrap_or_default()
}

impl Programs {
    /// Starts both hosts.
    fn new(supervisor: &Supervisor, wiring: &Wiring, max_running: u32) -> Self {
        Self {
            supervisor: supervisor.clone(),
            wiring: wiring.clone(),
            permits: Arc::new(Semaphore::new(max_running as usize)),
            max_running: Mutex::new(max_running),
            shell_host: supervisor.spawn(Spec::new("shell host"), Host::new),
            subprocess_host: supervisor.spawn(Spec::new("subprocess host"), Host::new),
        }
    }

    fn start_with(&self, settings: &Settings, switch: Arc<Switch>, before: Option<&Member<Self>>) -> Tracer {
        let (wiring, own) = (self.wiring.clone(), switch.clone());
        match settings.clone() {
            Settings::Shell(settings) => {
                let (name, section) = (settings.name.clone(), settings.section.clone());
                let cache = inherited_cache(before, &settings);
                let shared = (cache.clone(), self.permits.clone());
                let child = self.supervisor.spawn_loop(shell::spec(&settings), move |ctx| {
                    ShellTracer::new(ctx, settings.clone(), wiring.clone(), own.clone(), shared.clone())
                });
                let (shell, child) = (Some((child.clone(), cache)), Arc::new(child));
                Tracer { name, section, kind: Kind::Shell, child, shell, switch }
            }
            Settings::Subprocess(settings) => {
                let (name, section) = (settings.name.clone(), settings.section.clone());
                let child = self.supervisor.spawn_loop(subprocess::spec(&settings), move |ctx| {
                    SubprocessTracer::new(ctx, settings.clone(), wiring.clone(), own.clone())
                });
                Tracer { name, section, kind: Kind::Subprocess, child: Arc::new(child), shell: None, switch }
            }
        }
    }

    /// Changes how many commands may run at the same time; returns false if it is the same number as before. Running
    /// commands continue; a lower limit takes effect as they end.
    fn bound(&self, after: u32) -> bool {
        let before = std::mem::replace(&mut *lock(&self.max_running), after);
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
        before != after
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::launch::Launcher;
    use actors::testkit::paused;
    use actors::{Phase, clock};

    use super::*;

    #[test]
    fn a_detached_tracer_is_not_taken_for_stalled_and_starts_when_attached() {
        paused(async {
            let config = Config::default();
            let mut shell = config.shells().remove(0);
            shell.command.user = Some("no-such-user".to_owned());
            let settings = Settings::Shell(Arc::new(shell));
            let (outbox, _inbox) = actors::Outbox::channel(1, actors::WhenFull::Block);
            let accounts = model::Accounts::new(&[]);
            let launcher = Launcher::own();
            let wiring = Wiring { accounts, outbox, reserved: Default::default(), launcher };
            let programs = Programs::new(&Supervisor::new(), &wiring, 1);
            let switch = Switch::new();
            switch.wanted.send_replace(false);
            let tracer = programs.start_with(&settings, switch, None);
            let shell = tracer.shell.clone().unwrap().0;
            clock::sleep(Duration::from_secs(600)).await;
            assert_eq!((shell.status().phase, shell.state().runs), (Phase::Running, 0));
            for runs in 1..=2 {
                let refused = programs.follow(&tracer, true).await;
                assert!(matches!(refused, Err(HostError::Ended { cause, .. }) if cause.contains("no user")));
                assert_eq!((shell.status().phase, shell.state().runs), (Phase::GivenUp, runs));
            }
            assert_eq!(programs.follow(&tracer, false).await, Ok(()));
            let monitor = Monitor { set: ChildSet::new(programs, Vec::new()) };
            let unknown = monitor.set_enabled(&"other".into(), false).await;
            assert_eq!(unknown, Err(HostError::Unknown("other".into())));
            for host in monitor.hosts() {
                host.stop().await;
            }
        });
    }
}
