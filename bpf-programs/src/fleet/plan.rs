//! The tracers that exist and the settings they follow, and the plan of stops and starts for new settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actors::LoopRef;
use model::{Changes, Problem, TracerName};

use crate::catalog::tracers;
use crate::config::{EbpfConfig, TracersConfig};
use crate::host::EbpfHost;
use crate::programs::Tracer;
use crate::rules::Lowered;
use crate::tracer::EbpfTracer;

/// Present settings, host and tracers.
#[derive(Default)]
pub(super) struct Present {
    pub(super) config: EbpfConfig,
    pub(super) sections: TracersConfig,
    /// Tracers enabled (true) or disabled at run time, contrary to their section.
    pub(super) overrides: BTreeMap<&'static str, bool>,
    pub(super) host: Option<LoopRef<EbpfHost>>,
    pub(super) tracers: BTreeMap<&'static str, TracerHandle>,
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
    pub(super) wanted: Arc<AtomicBool>,
}

/// A valid configuration, ready to be applied.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: EbpfConfig,
    pub(super) sections: TracersConfig,
}

impl TracerHandle {
    /// Returns whether the tracer records, or is about to without further action.
    pub(super) fn is_alive(&self) -> bool {
        !self.off && !self.child.status().phase.is_terminal()
    }
}

impl Present {
    fn wants(&self, tracer: &Tracer) -> bool {
        let section = self.sections.of(tracer.name);
        !self.config.disabled && self.overrides.get(tracer.name).copied().unwrap_or(!section.disabled)
    }

    /// Returns the filter rules for the kernel.
    pub(super) fn rules(&self) -> Lowered {
        Lowered::new(&self.config.pushed, &self.sections)
    }

    pub(super) fn wanted(&self) -> Vec<&'static Tracer> {
        tracers().filter(|tracer| self.wants(tracer)).collect()
    }

    /// Takes over new settings. A change made at run time is kept as long as the tracer's section stays the same.
    pub(super) fn take_over(&mut self, prepared: Prepared) {
        let Prepared { config, sections } = prepared;
        let same = config.disabled == self.config.disabled;
        self.overrides.retain(|name, _| same && sections.of(name) == self.sections.of(name));
        (self.config, self.sections) = (config, sections);
    }

    /// Returns a problem for each tracer with another stored name: pinned rings hold records that belong to the old name.
    pub(super) fn renamed(&self, sections: &TracersConfig) -> Vec<Problem> {
        let changed = tracers()
            .filter(|tracer| self.sections.stored_as(tracer.name) != sections.stored_as(tracer.name));
        changed.map(|tracer| Problem::needs_restart(format!("tracer.{}.name", tracer.name))).collect()
    }

    /// Returns the tracers to stop and to start for the present settings.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for tracer in tracers() {
            let (present, wanted) = (self.tracers.get(tracer.name), self.wants(tracer));
            let stored_as = self.sections.stored_as(tracer.name);
            let name = format!("tracer {stored_as}");
            match present {
                None if wanted => plan.changes.added.push(name),
                Some(old) if wanted && old.off => plan.changes.added.push(name),
                Some(old) if wanted && old.stored_as != stored_as => {
                    plan.changes.restarted.push(format!("{name} (was {})", old.stored_as));
                }
                Some(old) if !(wanted || old.off && self.overrides.contains_key(tracer.name)) => {
                    plan.changes.removed.push(format!("tracer {}", old.stored_as));
                }
                _ => continue,
            }
            plan.stop.extend(present.is_some().then_some(tracer));
            plan.start.extend(wanted.then_some(tracer));
        }
        plan
    }
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) stop: Vec<&'static Tracer>,
    pub(super) start: Vec<&'static Tracer>,
    pub(super) changes: Changes,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actors::testkit::paused;
    use actors::{Outbox, Supervisor, WhenFull};
    use model::{Accounts, ProcessTable};

    use super::*;
    use crate::host::Handover;
    use crate::spawn::{spawn_host, spawn_tracer};
    use crate::tracer::Shared;

    /// Returns a state in which all enabled tracers are running.
    fn running(sections: &[(&str, bool, &str)]) -> Present {
        let (supervisor, accounts) = (Supervisor::new(), Accounts::new(&[]));
        let (collector, _) = Outbox::channel(1, WhenFull::Block);
        // The host's object never loads, which does not matter for a plan.
        let open = Box::new(|| Err(crate::errors::LoadError::NotBuilt));
        let handover = Handover::new(
            Vec::new(),
            ProcessTable::default(),
            accounts.clone(),
            Duration::from_millis(5),
            open,
        );
        let host = spawn_host(&supervisor, Arc::new(handover));
        let mut present = Present { sections: configured(sections), ..Present::default() };
        for tracer in present.wanted() {
            let stored_as = present.sections.stored_as(tracer.name);
            let shared = Shared::new(tracer, accounts.of(&stored_as), &host, 1, &collector, None);
            let wanted = shared.wanted.clone();
            let child = spawn_tracer(&supervisor, shared);
            let handle = TracerHandle { name: tracer.name, stored_as, child, off: false, wanted };
            present.tracers.insert(tracer.name, handle);
        }
        present
    }

    fn configured(sections: &[(&str, bool, &str)]) -> TracersConfig {
        let mut config = TracersConfig::default();
        for (tracer, disabled, name) in sections {
            let section = config.0.get_mut(*tracer).unwrap();
            (section.disabled, section.name) = (*disabled, (*name).to_owned());
        }
        config
    }

    fn planned(present: &mut Present, sections: &[(&str, bool, &str)]) -> String {
        present.take_over(Prepared { config: present.config.clone(), sections: configured(sections) });
        present.plan().changes.to_string()
    }

    #[test]
    fn only_tracers_that_differ_are_stopped_or_started() {
        paused(async {
            let before = [("open", false, "open"), ("exec", true, "exec")];
            let mut present = running(&before);
            assert_eq!(planned(&mut present, &before), "nothing changed");
            let after = [("open", false, "files"), ("exec", false, "exec"), ("exit", true, "exit")];
            let expected = "added tracer exec\nremoved tracer exit\nrestarted tracer files (was open)";
            assert_eq!(planned(&mut present, &after), expected);
        });
    }

    #[test]
    fn a_run_time_change_lasts_until_the_section_changes() {
        paused(async {
            let mut present = running(&[("exec", true, "exec")]);
            present.overrides.extend([("open", false), ("exec", true)]);
            present.tracers.get_mut("open").unwrap().off = true;
            // `exec` was enabled at run time and is not running, so the plan starts it.
            assert_eq!(planned(&mut present, &[("exec", true, "exec")]), "added tracer exec");
            let changed = planned(&mut present, &[("exec", true, "runs"), ("open", false, "files")]);
            assert_eq!(changed, "added tracer files");
            assert!(present.overrides.is_empty());
        });
    }
}
