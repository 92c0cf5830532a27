//! Carries out changes: one at a time, what goes before what comes.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::{ChildRef, Outbox, Phase, Supervisor, clock};
use futures::future::join_all;
use model::{Accounts, Batch, Changes, MANIFEST, ProcessTable, TracerName, changed_keys};

use super::NotTurned;
use super::plan::{Prepared, Present, TracerHandle};
use crate::host::{Detach, EbpfHost, Handover, HostState, Seat, SetLookInterval, SetRules, SetUids, Source};
use crate::loader::{Kernel, Pinning};
use crate::manifest::Manifest;
use crate::programs::{Tracer, tracers};
use crate::rules::Lowered;
use crate::spawn::{spawn_host, spawn_tracer};
use crate::tracer::{EbpfTracer, Fixture, TracerState};

/// How long whoever starts a tracer waits for it to be attached; a host that loads takes less than a second.
const ATTACH_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// What is behind it stays whole after a panic elsewhere: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all clones of the handle share.
pub(super) struct Inner {
    pub(super) supervisor: Supervisor,
    pub(super) accounts: Accounts,
    pub(super) processes: ProcessTable,
    pub(super) collector: Outbox<Batch>,
    /// What pinned rings need to know, if they are wanted.
    pub(super) pinning: Option<Pinning>,
    /// A host that is stopped leaves them at work.
    pub(super) keep: Arc<AtomicBool>,
    /// What the kernel drops, for a host that has to load anew as well.
    pub(super) rules: Arc<Mutex<Arc<Lowered>>>,
    pub(super) present: Mutex<Present>,
    /// Held by whoever changes what is there: one at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Inner {
    pub(super) fn present(&self) -> MutexGuard<'_, Present> {
        lock(&self.present)
    }

    pub(super) async fn apply(&self, prepared: Prepared) -> Changes {
        let _changing = self.changing.lock().await;
        let (changed, plan) = {
            let mut present = self.present();
            let settings = |key: &String| key != "disabled";
            let changed = changed_keys(&present.config, &prepared.config);
            present.become_like(prepared);
            (changed.into_iter().filter(settings).collect::<Vec<_>>(), present.plan())
        };
        self.tell_host(&changed).await;
        self.stop(&plan.stop).await;
        self.start(&plan.start);
        join_all(plan.start.iter().map(|tracer| self.settled(tracer))).await;
        self.rest().await;
        let changed = changed.into_iter().map(|key| format!("setting ebpf.{key}")).collect();
        Changes { changed, ..plan.changes }
    }

    pub(super) async fn enable(&self, tracer: &'static Tracer) -> Result<bool, NotTurned> {
        let _changing = self.changing.lock().await;
        let runs = {
            let mut present = self.present();
            if present.config.disabled {
                return Err(NotTurned::AllDisabled);
            }
            let says_so = !present.sections.of(tracer.name).disabled;
            if says_so {
                present.told.remove(tracer.name)
            } else {
                present.told.insert(tracer.name, true)
            };
            present.tracers.get(tracer.name).is_some_and(TracerHandle::is_alive)
        };
        if !runs {
            self.stop(&[tracer]).await;
            self.start(&[tracer]);
        }
        self.settled(tracer).await.map(|()| !runs)
    }

    pub(super) async fn disable(&self, tracer: &'static Tracer) -> bool {
        let _changing = self.changing.lock().await;
        let handle = {
            let mut present = self.present();
            let says_so = present.sections.of(tracer.name).disabled;
            let Some(handle) = present.tracers.get(tracer.name).filter(|handle| !handle.off).cloned() else {
                return false;
            };
            if says_so {
                present.told.remove(tracer.name)
            } else {
                present.told.insert(tracer.name, false)
            };
            handle
        };
        self.stop(&[tracer]).await;
        self.keep_off(TracerHandle { off: true, ..handle });
        self.rest().await;
        true
    }

    /// Keeps a tracer in sight that was disabled at run time.
    fn keep_off(&self, handle: TracerHandle) {
        let mut present = self.present();
        if present.told.contains_key(handle.name) {
            present.tracers.insert(handle.name, handle);
        }
    }

    /// Starts tracers, and a host for them if there is none that runs.
    pub(super) fn start(&self, wanted: &[&'static Tracer]) {
        let mut present = self.present();
        if wanted.is_empty() {
            return;
        }
        let host = match present.host.take().filter(|host| !host.status().phase.is_terminal()) {
            Some(host) => host,
            None => self.spawn_host(&present, wanted),
        };
        for tracer in wanted {
            let stored_as = present.sections.stored_as(tracer.name);
            let account = self.accounts.of(&stored_as);
            let manifest = present.config.manifest.then(|| self.manifest(&stored_as));
            let queue = present.config.queue;
            let fixture = Fixture::new(tracer, account, &host, queue, &self.collector, manifest);
            let wanted = fixture.wanted.clone();
            let child = spawn_tracer(&self.supervisor, fixture);
            detach_when_given_up(tracer, &child, &host);
            let handle = TracerHandle { name: tracer.name, stored_as, child, off: false, wanted };
            present.tracers.insert(tracer.name, handle);
        }
        present.host = Some(host);
    }

    fn manifest(&self, tracer: &TracerName) -> Manifest {
        Manifest::new(tracer.clone(), self.accounts.of(&MANIFEST.into()), &self.collector)
    }

    fn spawn_host(&self, present: &Present, wanted: &[&'static Tracer]) -> ChildRef<EbpfHost, HostState> {
        let (config, wanted) = (present.config.clone(), wanted.to_vec());
        let interval = config.look_interval.0;
        let account = |tracer: &Tracer| self.accounts.of(&present.sections.stored_as(tracer.name));
        let seats = wanted.iter().map(|tracer| Arc::new(Seat::new(tracer, account(tracer)))).collect();
        let names = tracers().map(|tracer| (tracer.kind as u32, present.sections.stored_as(tracer.name)));
        let pinning = self.pinning.clone().map(|pinning| Pinning { names: names.collect(), ..pinning });
        let (rules, table) = (self.rules.clone(), self.processes.clone());
        *lock(&rules) = Arc::new(present.rules());
        let open = move || {
            let mut kernel = Kernel::start(&config, &wanted, pinning.as_ref())?;
            kernel.set_rules(&lock(&rules), &table);
            kernel.attach_lifecycle();
            Ok(Box::new(kernel) as Box<dyn Source>)
        };
        let (processes, accounts) = (self.processes.clone(), self.accounts.clone());
        let handover = Handover::new(seats, processes, accounts, interval, Box::new(open));
        spawn_host(&self.supervisor, Arc::new(handover.keeping(self.keep.clone())))
    }

    /// Detaches and stops tracers, all at once, and forgets them.
    async fn stop(&self, leaving: &[&'static Tracer]) {
        let (host, handles): (_, Vec<_>) = {
            let present = self.present();
            let handle =
                |tracer: &&'static Tracer| Some((*tracer, present.tracers.get(tracer.name)?.clone()));
            (present.host.clone(), leaving.iter().filter_map(handle).collect())
        };
        join_all(handles.into_iter().map(|(tracer, handle)| stop(tracer, handle, host.as_ref()))).await;
        let mut present = self.present();
        leaving.iter().for_each(|tracer| drop(present.tracers.remove(tracer.name)));
    }

    /// Tells the host of settings that changed. One that starts later knows them.
    async fn tell_host(&self, changed: &[String]) {
        let (host, config) = {
            let present = self.present();
            (present.host.clone(), present.config.clone())
        };
        let Some(host) = host else { return };
        if changed.iter().any(|key| key == "look_interval") {
            // A host that does not run looks at nothing.
            let _ = host.ask(SetLookInterval(config.look_interval.0)).await;
        }
        if changed.iter().any(|key| key == "uids") {
            let _ = host.ask(SetUids(config.uids)).await;
        }
        let rules = Arc::new(self.present().rules());
        if std::mem::replace(&mut *lock(&self.rules), rules.clone()) != rules {
            let _ = host.ask(SetRules(rules)).await;
        }
    }

    /// Stops the host when nobody needs it.
    async fn rest(&self) {
        let idle = {
            let mut present = self.present();
            let idle = present.tracers.values().all(|handle| handle.off);
            if idle { present.host.take() } else { None }
        };
        if let Some(host) = idle {
            host.stop().await;
        }
    }

    /// Waits until a tracer is attached or has said why not.
    async fn settled(&self, tracer: &Tracer) -> Result<(), NotTurned> {
        let name = || tracer.name.to_owned();
        let handle = self.present().tracers.get(tracer.name).cloned();
        let Some(TracerHandle { child, .. }) = handle else { return Err(NotTurned::Unknown(name())) };
        let begun = clock::now();
        loop {
            let status = child.status();
            if status.phase.is_terminal() {
                let cause = status.first_cause.unwrap_or_else(|| "it has ended".to_owned());
                return Err(NotTurned::Fell { tracer: name(), cause });
            }
            if status.phase == Phase::Running && child.state().attached {
                return Ok(());
            }
            if begun.elapsed() > ATTACH_WAIT {
                return Err(NotTurned::Slow(name()));
            }
            clock::sleep(LOOK).await;
        }
    }
}

/// Detaches a tracer, so that nothing more comes for it, and stops it when it has handed on what it has.
async fn stop(tracer: &'static Tracer, handle: TracerHandle, host: Option<&ChildRef<EbpfHost, HostState>>) {
    handle.wanted.store(false, Relaxed);
    let detach = async || {
        if let Some(host) = host {
            // A host that has ended holds nothing.
            let _ = host.ask(Detach { tracer }).await;
        }
    };
    detach().await;
    handle.child.stop().await;
    // An incarnation that was about to attach itself may have done so after that.
    detach().await;
}

/// A tracer that was given up gets no more records: its queue would fill, and what is in the rings behind them wait.
fn detach_when_given_up(
    tracer: &'static Tracer,
    child: &ChildRef<EbpfTracer, TracerState>,
    host: &ChildRef<EbpfHost, HostState>,
) {
    let (child, host) = (child.clone(), host.clone());
    actix::spawn(async move {
        if child.ended().await.phase == Phase::GivenUp {
            let _ = host.ask(Detach { tracer }).await;
        }
    });
}
