//! Carries out changes to the set of running tracers, one change at a time; tracers are stopped before others are started.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actors::{LoopRef, Outbox, Phase, Supervisor, clock};
use futures::future::join_all;
use model::lock::lock;
use model::{Accounts, Batch, Changes, MANIFEST, ProcessTable, TracerName, changed_keys};

use super::NotSwitched;
use super::plan::{Prepared, Present, TracerHandle};
use crate::catalog::tracers;
use crate::host::{Detach, EbpfHost, Handover, SetPollInterval, SetRules, SetUids, TracerSlot};
use crate::loader::{Loaded, Pinning};
use crate::manifest::Manifest;
use crate::programs::Tracer;
use crate::rules::Lowered;
use crate::spawn::{spawn_host, spawn_tracer};
use crate::tracer::{EbpfTracer, Shared};

/// Limit on the wait for a started tracer to be attached; a host takes less than a second to load the object.
const ATTACH_WAIT: Duration = Duration::from_secs(10);
/// Interval at which the tracer's status is polled meanwhile.
const POLL: Duration = Duration::from_millis(5);

/// State shared by all clones of the handle.
pub(super) struct Inner {
    pub(super) supervisor: Supervisor,
    pub(super) accounts: Accounts,
    pub(super) processes: ProcessTable,
    pub(super) collector: Outbox<Batch>,
    /// Facts needed for pinning, if pinning is possible.
    pub(super) pinning: Option<Pinning>,
    /// If set, a host that is stopped leaves pinned programs running.
    pub(super) keep: Arc<AtomicBool>,
    /// The filter rules in force, also for a host that loads a new object.
    pub(super) rules: Arc<Mutex<Arc<Lowered>>>,
    pub(super) present: Mutex<Present>,
    /// Held during a change, so that there is one at a time.
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
            present.take_over(prepared);
            (changed.into_iter().filter(settings).collect::<Vec<_>>(), present.plan())
        };
        self.send_settings(&changed).await;
        self.stop(&plan.stop).await;
        self.start(&plan.start);
        join_all(plan.start.iter().map(|tracer| self.settled(tracer))).await;
        self.stop_idle_host().await;
        let changed = changed.into_iter().map(|key| format!("setting ebpf.{key}")).collect();
        Changes { changed, ..plan.changes }
    }

    pub(super) async fn enable(&self, tracer: &'static Tracer) -> Result<bool, NotSwitched> {
        let _changing = self.changing.lock().await;
        let runs = {
            let mut present = self.present();
            if present.config.disabled {
                return Err(NotSwitched::AllDisabled);
            }
            let configured = !present.sections.of(tracer.name).disabled;
            if configured {
                present.overrides.remove(tracer.name)
            } else {
                present.overrides.insert(tracer.name, true)
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
            let configured = present.sections.of(tracer.name).disabled;
            let Some(handle) = present.tracers.get(tracer.name).filter(|handle| !handle.off).cloned() else {
                return false;
            };
            if configured {
                present.overrides.remove(tracer.name)
            } else {
                present.overrides.insert(tracer.name, false)
            };
            handle
        };
        self.stop(&[tracer]).await;
        self.keep_off(TracerHandle { off: true, ..handle });
        self.stop_idle_host().await;
        true
    }

    /// Keeps the handle of a tracer that was disabled at run time, so that it is still listed.
    fn keep_off(&self, handle: TracerHandle) {
        let mut present = self.present();
        if present.overrides.contains_key(handle.name) {
            present.tracers.insert(handle.name, handle);
        }
    }

    /// Starts tracers, and a host for them unless one is running.
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
            let shared = Shared::new(tracer, account, &host, queue, &self.collector, manifest);
            let wanted = shared.wanted.clone();
            let child = spawn_tracer(&self.supervisor, shared);
            detach_when_given_up(tracer, &child, &host);
            let handle = TracerHandle { name: tracer.name, stored_as, child, off: false, wanted };
            present.tracers.insert(tracer.name, handle);
        }
        present.host = Some(host);
    }

    fn manifest(&self, tracer: &TracerName) -> Manifest {
        Manifest::new(tracer.clone(), self.accounts.of(&MANIFEST.into()), &self.collector)
    }

    fn spawn_host(&self, present: &Present, wanted: &[&'static Tracer]) -> LoopRef<EbpfHost> {
        let (config, wanted) = (present.config.clone(), wanted.to_vec());
        let interval = config.poll_interval.0;
        let account = |tracer: &Tracer| self.accounts.of(&present.sections.stored_as(tracer.name));
        let slots = wanted.iter().map(|tracer| Arc::new(TracerSlot::new(tracer, account(tracer)))).collect();
        let names = tracers().map(|tracer| (tracer.kind as u32, present.sections.stored_as(tracer.name)));
        let pinning = self.pinning.clone().map(|pinning| Pinning { names: names.collect(), ..pinning });
        let (rules, table) = (self.rules.clone(), self.processes.clone());
        *lock(&rules) = Arc::new(present.rules());
        let open = move || {
            let mut kernel = Loaded::start(&config, &wanted, pinning.as_ref())?.into_kernel();
            kernel.set_rules(&lock(&rules), &table);
            Ok(kernel)
        };
        let (processes, accounts) = (self.processes.clone(), self.accounts.clone());
        let handover = Handover::new(slots, processes, accounts, interval, Box::new(open));
        spawn_host(&self.supervisor, Arc::new(handover.keeping(self.keep.clone())))
    }

    /// Detaches and stops tracers in parallel, and removes them.
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

    /// Sends changed settings to the host. A host that starts later reads them from the configuration.
    async fn send_settings(&self, changed: &[String]) {
        let (host, config) = {
            let present = self.present();
            (present.host.clone(), present.config.clone())
        };
        let Some(host) = host else { return };
        if changed.iter().any(|key| key == "poll_interval") {
            // A host that has ended polls nothing.
            let _ = host.ask(SetPollInterval(config.poll_interval.0)).await;
        }
        if changed.iter().any(|key| key == "uids") {
            let _ = host.ask(SetUids(config.uids)).await;
        }
        let rules = Arc::new(self.present().rules());
        if std::mem::replace(&mut *lock(&self.rules), rules.clone()) != rules {
            let _ = host.ask(SetRules(rules)).await;
        }
    }

    /// Stops the host if no tracer needs it.
    async fn stop_idle_host(&self) {
        let idle = {
            let mut present = self.present();
            let idle = present.tracers.values().all(|handle| handle.off);
            if idle { present.host.take() } else { None }
        };
        if let Some(host) = idle {
            host.stop().await;
        }
    }

    /// Waits until a tracer is attached or has failed.
    async fn settled(&self, tracer: &Tracer) -> Result<(), NotSwitched> {
        let name = || tracer.name.to_owned();
        let handle = self.present().tracers.get(tracer.name).cloned();
        let Some(TracerHandle { child, .. }) = handle else { return Err(NotSwitched::Unknown(name())) };
        let begun = clock::now();
        loop {
            let status = child.status();
            if status.phase.is_terminal() {
                let cause = status.first_cause.unwrap_or_else(|| "it has ended".to_owned());
                return Err(NotSwitched::Failed { tracer: name(), cause });
            }
            if status.phase == Phase::Running && child.state().attached {
                return Ok(());
            }
            if begun.elapsed() > ATTACH_WAIT {
                return Err(NotSwitched::TimedOut(name()));
            }
            clock::sleep(POLL).await;
        }
    }
}

/// Detaches a tracer, so that no more records arrive for it, and stops it when it has passed on all it has.
async fn stop(tracer: &'static Tracer, handle: TracerHandle, host: Option<&LoopRef<EbpfHost>>) {
    handle.wanted.store(false, Relaxed);
    let detach = async || {
        if let Some(host) = host {
            // A host that has ended holds no records.
            let _ = host.ask(Detach { tracer }).await;
        }
    };
    detach().await;
    handle.child.stop().await;
    // An incarnation that was about to attach itself may have done so since then.
    detach().await;
}

/// Detaches a tracer when its supervisor gives it up: its queue would fill up and block the records of all tracers.
fn detach_when_given_up(tracer: &'static Tracer, child: &LoopRef<EbpfTracer>, host: &LoopRef<EbpfHost>) {
    let (child, host) = (child.clone(), host.clone());
    actix::spawn(async move {
        if child.ended().await.phase == Phase::GivenUp {
            let _ = host.ask(Detach { tracer }).await;
        }
    });
}
