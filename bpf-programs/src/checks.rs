//! Checks which tracers can run with this kernel and these permissions, by attaching their programs without recording.

use serde::Serialize;

use crate::catalog::tracers;
use crate::config::EbpfConfig;
use crate::errors::{AttachError, LoadError};
use crate::facts::Capability;
use crate::kernel::Attached;
use crate::loader::Loaded;
use crate::programs::Tracer;
use crate::spawn::try_kernel;
use crate::tier::{Choice, Tier};

/// Advice if a configured tier lacks hooks, which another tier may have.
const OTHER_HOOKS: &str = "leave the choice of hooks to the agent: ebpf.tier = \"auto\"";

/// Result of the check of one tracer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of the tracer.
    pub tracer: &'static str,
    /// Tier of hooks it would use: 1 functions, 2 tracepoints, 3 kprobes; 0 if none.
    pub tier: u8,
    /// True if the tracer can run.
    pub ok: bool,
    /// Causes that prevent it from running, or functions it would lack.
    pub missing: Vec<String>,
    /// Events it can't see with hooks of that tier.
    pub unseen: Vec<String>,
    /// Suggestions for an administrator, one sentence each.
    pub advice: Vec<String>,
}

/// Result of the check of all tracers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Results by tracer.
    pub tracers: Vec<Check>,
    /// Missing parts of the process table, from which rows get working directory, executable and container.
    pub table: Vec<String>,
    /// Why `ebpf.tier = "auto"` would not take a tier that it prefers.
    pub passed_over: Option<String>,
}

/// Checks every kernel tracer: permissions, kernel version, and programs, which are attached without recording and
/// detached again at once.
pub fn check(config: &EbpfConfig) -> Checks {
    match try_kernel(config) {
        Ok(Loaded { mut hooks, .. }) => {
            let table = hooks.attach_lifecycle();
            let tier = hooks.tier;
            let tracers = tracers();
            let mut with_advice = |one| {
                let mut check = assess(one, tier, hooks.unseen(one), hooks.try_attach(one));
                if config.tier != Choice::Auto && !check.missing.is_empty() {
                    check.advise(vec![OTHER_HOOKS.to_owned()]);
                }
                check
            };
            let tracers = tracers.map(&mut with_advice).collect();
            Checks { tracers, table, passed_over: hooks.passed_over.take() }
        }
        Err(cause) => {
            let tracers = tracers().map(|tracer| hopeless(tracer, &cause)).collect();
            Checks { tracers, ..Checks::default() }
        }
    }
}

type Tried = Vec<(&'static crate::programs::Program, Result<Attached, AttachError>)>;

/// Turns the results of attaching a tracer's programs into a check.
fn assess(tracer: &Tracer, tier: Tier, unseen: Vec<String>, tried: Tried) -> Check {
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
                found.without.into_iter().for_each(|line| check.lack(line));
                continue;
            }
            Err(cause) => cause,
        };
        let why = cause.to_string();
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

/// Returns the check of a tracer when the object can't be loaded. It lists every missing permission, so that an
/// administrator can grant all at once.
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
    check.advise(cause.advice());
    check
}

impl Check {
    /// Adds a missing function unless it is listed already: programs that share a hook lack the same.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::NEEDED;

    #[test]
    fn without_permission_everything_missing_is_reported_at_once() {
        let cause = LoadError::NotAllowed { missing: NEEDED.to_vec(), source: None };
        let tracer = tracers().next().unwrap();
        let check = hopeless(tracer, &cause);
        assert!(!check.ok);
        assert!(check.advice.iter().any(|line| line.contains("setcap cap_bpf,cap_perfmon")), "{check:?}");
        assert!(serde_json::to_value(&check).unwrap()["advice"].is_array());
    }

    #[test]
    fn a_missing_hook_is_listed_once() {
        let tracer = tracers().find(|tracer| tracer.programs.iter().any(|p| p.without.is_none())).unwrap();
        let program = tracer.programs.iter().find(|program| program.without.is_none()).unwrap();
        let refused = || AttachError::NoHook { program: program.name, hook: "syscalls/x".to_owned() };
        let check = assess(
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
