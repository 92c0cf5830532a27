//! How kernel tracers are started and stopped, and the host that all of them share.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actors::{AnyChild, ChildKind, LoopRef, Member, Outbox, Phase, Supervisor, clock};
use model::lock::lock;
use model::{Accounts, Batch, MANIFEST, Problem, ProcessTable, Subject, TracerName, changed_keys};
use thiserror::Error;

use crate::catalog::tracers;
use crate::config::{KernelSettings, TracerConfig};
use crate::host::{
    AtStop, Detach, EbpfHost, Handover, SetPollInterval, SetRules, SetUids, TracerSlot, Unpin,
};
use crate::loader::{Loaded, Pinning};
use crate::lowered::Lowered;
use crate::manifest::Manifest;
use crate::programs::Tracer;
use crate::spawn::{spawn_host, spawn_tracer};
use crate::system_folders;
use crate::tracer::{EbpfTracer, Shared};

/// Limit on the wait for a started tracer to be attached; a host takes less than a second to load the object.
const ATTACH_WAIT: Duration = Duration::from_secs(10);
/// Interval at which the tracer's status is polled meanwhile.
const POLL: Duration = Duration::from_millis(5);

/// Error of enabling or disabling a tracer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotSwitched {
    /// There is no tracer of that name.
    #[error("there is no kernel tracer {0}")]
    Unknown(String),
    /// Kernel tracers are disabled as a whole.
    #[error("kernel tracers are disabled: ebpf.disabled is set")]
    AllDisabled,
    /// The tracer can't run.
    #[error("tracer {tracer} can't run: {cause}")]
    Failed {
        tracer: String,
        /// The tracer's first error.
        cause: String,
    },
    /// The tracer was not attached in time.
    #[error("timed out waiting for tracer {0}; see `duetector-actors status`")]
    TimedOut(String),
}

/// Everything the kernel tracers have in common.
pub(super) struct Fleet {
    pub(super) supervisor: Supervisor,
    pub(super) accounts: Accounts,
    pub(super) processes: ProcessTable,
    pub(super) collector: Outbox<Batch>,
    /// Facts needed for pinning, if pinning is possible.
    pub(super) pinning: Option<Pinning>,
    /// Treatment of the programs by a host that is stopped.
    pub(super) at_stop: Arc<Mutex<AtStop>>,
    /// The filter rules in force, also for a host that loads a new object.
    pub(super) rules: Arc<Mutex<Arc<Lowered>>>,
    pub(super) present: Mutex<Present>,
}

/// Present settings and host.
pub(super) struct Present {
    pub(super) settings: KernelSettings,
    pub(super) host: Option<LoopRef<EbpfHost>>,
}

/// Settings of one tracer.
#[derive(Clone, PartialEq)]
pub(super) struct TracerSettings {
    pub(super) tracer: &'static Tracer,
    section: TracerConfig,
    /// True if kernel tracers are disabled as a whole.
    all_disabled: bool,
}

/// A kernel tracer.
#[derive(Clone)]
pub struct TracerHandle {
    /// Own name, which is that of the config section.
    pub name: &'static str,
    /// Name under which rows and account are kept.
    pub stored_as: TracerName,
    /// The actor, with its status and state.
    pub child: LoopRef<EbpfTracer>,
    /// True if the tracer was disabled at run time.
    pub off: bool,
    pub(super) tracer: &'static Tracer,
    pub(super) wanted: Arc<AtomicBool>,
}

/// Returns the settings of all tracers, in the order of the catalog.
pub(super) fn of_tracers(settings: &KernelSettings) -> Vec<TracerSettings> {
    let of = |tracer: &'static Tracer| TracerSettings {
        tracer,
        section: settings.sections.of(tracer.name),
        all_disabled: settings.ebpf.disabled,
    };
    tracers().map(of).collect()
}

impl TracerSettings {
    /// Returns the name that the tracer's rows are stored under.
    pub(super) fn stored_as(&self) -> TracerName {
        TracerName::new(&self.section.name)
    }
}

impl Present {
    /// Returns the rules of the present settings. Folders of the system are found anew.
    fn rules(&self) -> Lowered {
        let KernelSettings { pushed, sections, .. } = &self.settings;
        let system_folders = system_folders::find(&pushed.system);
        Lowered { system_folders, ..Lowered::new(pushed, sections) }
    }

    /// Returns a problem for each change after which nothing can be pinned: records in pinned rings belong to the tracers'
    /// old names, and the old store knows how far they are read.
    pub(super) fn unpinning(&self, settings: &KernelSettings) -> Vec<Problem> {
        let (before, after) = (&self.settings.sections, &settings.sections);
        let renamed =
            tracers().filter(|tracer| before.stored_as(tracer.name) != after.stored_as(tracer.name));
        let renamed = renamed.map(|tracer| format!("tracer.{}.name", tracer.name));
        let moved = (self.settings.store != settings.store).then(|| "collector.store".to_owned());
        renamed.chain(moved).map(Problem::needs_restart).collect()
    }
}

impl ChildKind for Fleet {
    type Key = &'static str;
    type Settings = TracerSettings;
    type Child = TracerHandle;
    type Error = NotSwitched;

    fn key(settings: &TracerSettings) -> &'static str {
        settings.tracer.name
    }

    fn subject(settings: &TracerSettings, before: Option<&TracerSettings>) -> Subject {
        let tracer = settings.stored_as();
        match before {
            None => Subject::Tracer(tracer),
            Some(before) => Subject::Renamed { tracer, was: before.stored_as() },
        }
    }

    fn enables(settings: &TracerSettings) -> bool {
        !settings.all_disabled && !settings.section.disabled
    }

    fn replaces(before: &TracerSettings, after: &TracerSettings) -> bool {
        before.stored_as() != after.stored_as()
    }

    fn actor(child: &TracerHandle) -> &dyn AnyChild {
        &child.child
    }

    /// Starts a host unless one is running.
    fn starting(&self, all: &[&TracerSettings]) {
        let mut present = self.present();
        let running = present.host.take().filter(|host| !host.status().phase.is_terminal());
        let wanted = || all.iter().map(|settings| settings.tracer).collect();
        present.host = Some(running.unwrap_or_else(|| self.spawn_host(&present, wanted())));
    }

    fn start(&self, settings: &TracerSettings, _: Option<&Member<Self>>) -> TracerHandle {
        let (tracer, stored_as) = (settings.tracer, settings.stored_as());
        let account = self.accounts.of(&stored_as);
        let (manifest, queue, host) = {
            let mut present = self.present();
            let host = present.host.take().unwrap_or_else(|| self.spawn_host(&present, vec![tracer]));
            present.host = Some(host.clone());
            (present.settings.manifest, present.settings.ebpf.queue, host)
        };
        let manifest = manifest.then(|| self.manifest(&stored_as));
        let shared = Shared::new(tracer, account, &host, queue, &self.collector, manifest);
        let wanted = shared.wanted.clone();
        let child = spawn_tracer(&self.supervisor, shared);
        detach_when_given_up(tracer, &child, &host);
        TracerHandle { name: tracer.name, stored_as, child, off: false, tracer, wanted }
    }

    /// Detaches a tracer, so that no more records arrive for it, and stops it when it has passed on all it has.
    async fn stop(&self, handle: &TracerHandle) {
        handle.wanted.store(false, Relaxed);
        let host = self.present().host.clone();
        let detach = async || {
            if let Some(host) = &host {
                // A host that has ended holds no records.
                let _ = host.ask(Detach { tracer: handle.tracer }).await;
            }
        };
        detach().await;
        handle.child.stop().await;
        // An incarnation that was about to attach itself may have done so since then.
        detach().await;
    }

    /// Waits until a tracer is attached or has failed.
    async fn follow(&self, handle: &TracerHandle, on: bool) -> Result<(), NotSwitched> {
        let (name, begun) = (|| handle.name.to_owned(), clock::now());
        if !on {
            return Ok(());
        }
        loop {
            let status = handle.child.status();
            if status.phase.is_terminal() {
                let cause = status.first_cause.unwrap_or_else(|| "it has ended".to_owned());
                return Err(NotSwitched::Failed { tracer: name(), cause });
            }
            if status.phase == Phase::Running && handle.child.state().attached {
                return Ok(());
            }
            if begun.elapsed() > ATTACH_WAIT {
                return Err(NotSwitched::TimedOut(name()));
            }
            clock::sleep(POLL).await;
        }
    }

    /// Stops the host if no tracer needs it.
    async fn changed(&self, members: &[Member<Self>]) {
        let idle = !members.iter().any(Member::exists);
        let host = self.present().host.take_if(|_| idle);
        if let Some(host) = host {
            host.stop().await;
        }
    }
}

impl Fleet {
    pub(super) fn present(&self) -> MutexGuard<'_, Present> {
        lock(&self.present)
    }

    fn manifest(&self, tracer: &TracerName) -> Manifest {
        Manifest::new(tracer.clone(), self.accounts.of(&MANIFEST.into()), &self.collector)
    }

    fn spawn_host(&self, present: &Present, wanted: Vec<&'static Tracer>) -> LoopRef<EbpfHost> {
        let (config, sections) = (present.settings.ebpf.clone(), &present.settings.sections);
        let interval = config.poll_interval.0;
        let account = |tracer: &Tracer| self.accounts.of(&sections.stored_as(tracer.name));
        let slots = wanted.iter().map(|tracer| Arc::new(TracerSlot::new(tracer, account(tracer)))).collect();
        let pinning = self.pinning.clone().map(|pinning| pinning.with_names(sections));
        let (rules, table) = (self.rules.clone(), self.processes.clone());
        *lock(&rules) = Arc::new(present.rules());
        let open = move || {
            let mut kernel = Loaded::start(&config, &wanted, pinning.as_ref())?.into_kernel();
            kernel.set_rules(&lock(&rules), &table);
            Ok(kernel)
        };
        let (processes, accounts) = (self.processes.clone(), self.accounts.clone());
        let handover = Handover::new(slots, processes, accounts, interval, Box::new(open));
        spawn_host(&self.supervisor, Arc::new(handover.ending(self.at_stop.clone())))
    }

    /// Takes over new settings, and sends those that differ to the host; a host that starts later reads them from the
    /// configuration. Returns their keys.
    pub(super) async fn take_over(&self, settings: KernelSettings) -> Vec<String> {
        let (mut changed, rules, host, unpinning) = {
            let mut present = self.present();
            let unpinning = present.unpinning(&settings).into_iter().next();
            let changed = changed_keys(&present.settings.ebpf, &settings.ebpf);
            present.settings = settings.clone();
            (changed, Arc::new(present.rules()), present.host.clone(), unpinning)
        };
        changed.retain(|key| key != "disabled");
        let Some(host) = host else { return changed };
        if let Some(Problem { key, .. }) = unpinning {
            let _ = host.ask(Unpin(format!("a reload changed {key}; restart the agent to pin again"))).await;
        }
        if changed.iter().any(|key| key == "poll_interval") {
            // A host that has ended polls nothing.
            let _ = host.ask(SetPollInterval(settings.ebpf.poll_interval.0)).await;
        }
        if changed.iter().any(|key| key == "uids") {
            let _ = host.ask(SetUids(settings.ebpf.uids)).await;
        }
        if std::mem::replace(&mut *lock(&self.rules), rules.clone()) != rules {
            let _ = host.ask(SetRules(rules)).await;
        }
        changed
    }
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

#[cfg(test)]
mod tests {
    use actors::testkit::paused;
    use actors::{ChildSet, WhenFull};
    use model::{Change, What};

    use super::*;
    use crate::config::TracersConfig;

    /// Returns a set in which all enabled tracers run, on a host that crashes whenever it loads its object.
    fn running(sections: &[(&str, bool, &str)]) -> ChildSet<Fleet> {
        let (supervisor, accounts) = (Supervisor::new(), Accounts::new(&[]));
        let (collector, _) = Outbox::channel(1, WhenFull::Block);
        let (processes, interval) = (ProcessTable::default(), Duration::from_millis(5));
        let open = Box::new(|| panic!("injected"));
        let handover = Handover::new(Vec::new(), processes.clone(), accounts.clone(), interval, open);
        let host = spawn_host(&supervisor, Arc::new(handover));
        let settings = KernelSettings { sections: configured(sections), ..KernelSettings::default() };
        let tracers = of_tracers(&settings);
        let present = Present { settings, host: Some(host) };
        let fleet = Fleet {
            supervisor,
            accounts,
            processes,
            collector,
            pinning: None,
            at_stop: Arc::default(),
            rules: Arc::default(),
            present: Mutex::new(present),
        };
        ChildSet::start_all(fleet, tracers)
    }

    fn configured(sections: &[(&str, bool, &str)]) -> TracersConfig {
        let mut config = TracersConfig::default();
        for (tracer, disabled, name) in sections {
            let section = config.0.get_mut(*tracer).unwrap();
            (section.disabled, section.name) = (*disabled, (*name).to_owned());
        }
        config
    }

    fn planned(set: &ChildSet<Fleet>, sections: &[(&str, bool, &str)]) -> Vec<Change> {
        let settings = KernelSettings { sections: configured(sections), ..KernelSettings::default() };
        let steps = set.plan(of_tracers(&settings));
        steps.iter().filter_map(actors::Step::change).collect()
    }

    fn change(what: What, tracer: &str) -> Change {
        Change::new(what, Subject::Tracer(tracer.into()))
    }

    #[test]
    fn only_tracers_that_differ_are_stopped_or_started() {
        paused(async {
            let before = [("open", false, "open"), ("exec", true, "exec")];
            let set = running(&before);
            assert_eq!(planned(&set, &before), []);
            let after = [("open", false, "files"), ("exec", false, "exec"), ("exit", true, "exit")];
            let renamed = Subject::Renamed { tracer: "files".into(), was: "open".into() };
            let mut changes = planned(&set, &after);
            changes.sort_by_key(|change| change.what as u8);
            let expected = [
                change(What::Added, "exec"),
                change(What::Removed, "exit"),
                Change::new(What::Restarted, renamed),
            ];
            assert_eq!(changes, expected);
        });
    }

    #[test]
    fn a_run_time_change_lasts_until_the_section_changes() {
        paused(async {
            let before = [("exec", true, "exec")];
            let set = running(&before);
            let enabled = set.set_enabled("exec", true).await;
            assert_eq!(enabled, Some(Err(NotSwitched::TimedOut("exec".to_owned()))));
            assert_eq!(set.set_enabled("open", false).await, Some(Ok(true)));
            assert_eq!(set.set_enabled("open", false).await, Some(Ok(false)));
            assert_eq!(planned(&set, &before), []);
            let changes = planned(&set, &[("exec", true, "runs"), ("open", false, "files")]);
            assert_eq!(changes, [change(What::Added, "files"), change(What::Removed, "exec")]);
            let off: Vec<_> = set.members().into_iter().filter(Member::is_off).collect();
            assert!(off.len() == 1 && off[0].settings.tracer.name == "open" && off[0].child.is_some());
        });
    }
}
