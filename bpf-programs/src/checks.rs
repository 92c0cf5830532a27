//! What this kernel and this user allow, tracer by tracer: found by trying, changing nothing.

use std::io;

use serde::Serialize;

use crate::config::EbpfConfig;
use crate::facts::{self, Capabilities, Capability};
use crate::loader::{AttachError, Hooked, LoadError};
use crate::programs::{Hook, Tracer, tracers};
use crate::spawn::try_kernel;
use crate::tier::{Choice, Tier};

/// What one kind of hooks lacks another may have.
const OTHER_HOOKS: &str = "leave the choice of hooks to the agent: ebpf.tier = \"auto\"";

/// What one tracer finds here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The tracer.
    pub tracer: &'static str,
    /// The tier of hooks it would use: 1 trampolines, 2 tracepoints, 3 kprobes.
    pub tier: u8,
    /// It can run.
    pub ok: bool,
    /// What keeps it from running, or what it would have to do without.
    pub missing: Vec<String>,
    /// What it can't see with hooks of that tier.
    pub unseen: Vec<String>,
    /// What to do about it, a sentence each.
    pub advice: Vec<String>,
}

/// What all of them find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Tracer by tracer.
    pub tracers: Vec<Check>,
    /// What the process table has to do without, from which rows have working folder, executable and container.
    pub table: Vec<String>,
}

/// Tries every kernel tracer: permissions, kernel, and its programs, which are attached, record nothing, and are let go
/// at once.
pub fn check(config: &EbpfConfig) -> Checks {
    match try_kernel(config) {
        Ok(mut kernel) => {
            kernel.attach_lifecycle();
            let tier = kernel.tier();
            let tracers = tracers();
            let mut judge = |one| {
                let mut check = judge(one, tier, kernel.unseen(one), kernel.try_attach(one));
                if config.tier != Choice::Auto && !check.missing.is_empty() {
                    check.advise(vec![OTHER_HOOKS.to_owned()]);
                }
                check
            };
            let tracers = tracers.map(&mut judge).collect();
            Checks { tracers, table: kernel.lacks() }
        }
        Err(cause) => {
            let tracers = tracers().map(|tracer| hopeless(tracer, &cause)).collect();
            Checks { tracers, table: Vec::new() }
        }
    }
}

type Tried = Vec<(&'static crate::programs::Program, Result<Hooked, AttachError>)>;

fn judge(tracer: &Tracer, tier: Tier, unseen: Vec<String>, tried: Tried) -> Check {
    let mut check = Check {
        tracer: tracer.name,
        tier: tier.number(),
        ok: true,
        missing: Vec::new(),
        unseen,
        advice: Vec::new(),
    };
    for (program, result) in tried {
        let cause = match result {
            Ok(found) => {
                found.missing.into_iter().for_each(|line| check.lack(line));
                continue;
            }
            Err(cause) => cause,
        };
        let why = match &cause {
            AttachError::NoTracefs { source, .. } => tracefs_missing(source),
            cause => cause.to_string(),
        };
        match program.without {
            Some(without) => check.lack(format!("{without} ({why})")),
            None => {
                check.ok = false;
                check.lack(why);
            }
        }
        check.advise(cause.advice());
    }
    check
}

/// The object itself can't be loaded: what can be told apart from that is told too, so that it is granted at once.
fn hopeless(tracer: &Tracer, cause: &LoadError) -> Check {
    let mut check = Check {
        tracer: tracer.name,
        tier: 0,
        ok: false,
        missing: Vec::new(),
        unseen: Vec::new(),
        advice: Vec::new(),
    };
    match cause {
        LoadError::NotAllowed { missing, .. } if !missing.is_empty() => {
            check.missing.extend(missing.iter().map(Capability::to_string));
        }
        cause => check.missing.push(cause.to_string()),
    }
    if needs_tracefs(tracer)
        && let Err(cause) = facts::tracefs()
    {
        check.missing.push(tracefs_missing(&cause));
    }
    check.advise(cause.advice());
    check
}

impl Check {
    /// Programs that share a hook lack the same.
    fn lack(&mut self, line: String) {
        if !self.missing.contains(&line) {
            self.missing.push(line);
        }
    }

    fn advise(&mut self, advice: Vec<String>) {
        let new: Vec<_> = advice.into_iter().filter(|line| !self.advice.contains(line)).collect();
        self.advice.extend(new);
    }
}

fn needs_tracefs(tracer: &Tracer) -> bool {
    tracer.programs.iter().any(|program| matches!(program.hook, Hook::Tracepoints { .. }))
}

fn tracefs_missing(cause: &io::Error) -> String {
    let capability = Capability::CapDacReadSearch;
    if cause.kind() == io::ErrorKind::PermissionDenied && Capabilities::effective().has(capability) {
        return format!("tracefs ({cause})");
    }
    format!("{capability} (for tracefs: {cause})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::NEEDED;

    #[test]
    fn without_permission_everything_missing_is_told_at_once() {
        let cause = LoadError::NotAllowed { missing: NEEDED.to_vec(), source: None };
        let tracer = tracers().next().unwrap();
        let check = hopeless(tracer, &cause);
        assert!(!check.ok);
        assert!(check.advice.iter().any(|line| line.contains("setcap cap_bpf,cap_perfmon")), "{check:?}");
        assert!(serde_json::to_value(&check).unwrap()["advice"].is_array());
    }

    #[test]
    fn a_hook_one_can_do_without_does_not_stop_a_tracer() {
        let tracer = tracers().find(|tracer| tracer.programs.iter().any(|p| p.without.is_none())).unwrap();
        let program = tracer.programs.iter().find(|program| program.without.is_none()).unwrap();
        let refused = || AttachError::NoHook { program: program.name, hook: "syscalls/x".to_owned() };
        let check = judge(
            tracer,
            Tier::Tracepoint,
            Vec::new(),
            vec![(program, Err(refused())), (program, Err(refused()))],
        );
        assert!(!check.ok);
        assert_eq!(check.missing.len(), 1, "the same twice: {check:?}");
        assert!(check.missing[0].contains("no hook syscalls/x"), "{check:?}");
    }
}
