//! One program: loaded, attached to its hooks.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::Btf;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::trace_point::TracePointLink;
use aya::programs::{BtfTracePoint, Iter, ProgramError, TracePoint};

use super::errors::{AttachError, of_program};
use super::pins::Pins;
use super::tracepoint_exists;
use crate::programs::{Hook, Program};

const LOAD: &str = "load program";
const ATTACH: &str = "attach program";
/// There are not more than about ten programs.
const MAX_WORKERS: usize = 4;

/// One attached hook. Dropping it detaches, but for a pinned one, which stays.
pub(super) struct Held {
    pub(super) hook: String,
    link: Link,
}

enum Link {
    Tracepoint(TracePointLink),
    Btf(BtfTracePointLink),
    Pinned(PinnedLink),
}

impl Held {
    /// A hook that a predecessor attached.
    pub(super) fn pinned(hook: String, link: PinnedLink) -> Self {
        Self { hook, link: Link::Pinned(link) }
    }

    /// Detaches it, whatever it is.
    pub(super) fn detach(self) {
        if let Link::Pinned(link) = self.link
            && let Err(cause) = link.unpin()
        {
            tracing::warn!(hook = self.hook, %cause, "removing a pinned link failed");
        }
    }
}

/// Loads a program if it isn't yet: here the verifier speaks.
pub(super) fn load(
    loaded: &mut aya::programs::Program,
    program: &Program,
    btf: &Btf,
) -> Result<(), AttachError> {
    let done = match program.hook {
        Hook::Tracepoints { .. } => typed::<TracePoint>(loaded, program)?.load(),
        Hook::BtfTracepoint(name) => typed::<BtfTracePoint>(loaded, program)?.load(name, btf),
        Hook::TaskIterator => typed::<Iter>(loaded, program)?.load("task", btf),
    };
    match done {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(cause) => Err(of_program(LOAD, program.name, cause)),
    }
}

/// Loads programs side by side; returns the names of those that the verifier let pass.
pub(super) fn load_all(
    jobs: Vec<(&'static Program, &mut aya::programs::Program)>,
    btf: &Btf,
) -> BTreeSet<&'static str> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS);
    let (jobs, done) = (Mutex::new(jobs), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // The lock is held for as long as it takes to pick one.
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
                while let Some((program, loaded)) = next() {
                    if load(loaded, program, btf).is_ok() {
                        done.lock().unwrap_or_else(PoisonError::into_inner).insert(program.name);
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Attaches a loaded program to these hooks of its.
pub(super) fn attach(
    loaded: &mut aya::programs::Program,
    program: &Program,
    hooks: Vec<String>,
    pins: Option<&Pins>,
) -> Result<Vec<Held>, AttachError> {
    hooks.into_iter().map(|hook| attach_and_pin(loaded, program, hook, pins)).collect()
}

/// A link that can't be pinned (before 5.15) serves as long as the agent runs.
fn attach_and_pin(
    loaded: &mut aya::programs::Program,
    program: &Program,
    hook: String,
    pins: Option<&Pins>,
) -> Result<Held, AttachError> {
    let held = attach_one(loaded, program, hook.clone())?;
    let Some(pins) = pins else { return Ok(held) };
    let plain = match held.link {
        Link::Tracepoint(link) => FdLink::try_from(link).map_err(|cause| cause.to_string()),
        Link::Btf(link) => Ok(link.into()),
        Link::Pinned(_) => return Ok(held),
    };
    let pinned = plain.and_then(|link| {
        pins.pin_link(link, program.name, &hook).map_err(|cause| super::errors::chain(&cause))
    });
    match pinned {
        Ok(link) => Ok(Held::pinned(hook, link)),
        Err(cause) => {
            tracing::warn!(
                program = program.name,
                hook,
                cause,
                "pinning failed: what happens between two runs is missed"
            );
            attach_one(loaded, program, hook)
        }
    }
}

fn attach_one(
    loaded: &mut aya::programs::Program,
    program: &Program,
    hook: String,
) -> Result<Held, AttachError> {
    let failed = |cause| of_program(ATTACH, program.name, cause);
    let link = match program.hook {
        Hook::Tracepoints { category, .. } => {
            let tracepoint = typed::<TracePoint>(loaded, program)?;
            let id = tracepoint.attach(category, &hook).map_err(failed)?;
            Link::Tracepoint(tracepoint.take_link(id).map_err(failed)?)
        }
        _ => {
            let tracepoint = typed::<BtfTracePoint>(loaded, program)?;
            let id = tracepoint.attach().map_err(failed)?;
            Link::Btf(tracepoint.take_link(id).map_err(failed)?)
        }
    };
    Ok(Held { hook, link })
}

/// Opens the iterator's output.
pub(super) fn iterate(loaded: &mut aya::programs::Program, program: &Program) -> Result<File, AttachError> {
    let failed = |cause| of_program(ATTACH, program.name, cause);
    let iterator = typed::<Iter>(loaded, program)?;
    let id = iterator.attach().map_err(failed)?;
    let link = iterator.take_link(id).map_err(failed)?;
    link.into_file().map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })
}

/// The program's hooks that this kernel has.
pub(super) fn hooks(program: &Program) -> Result<Vec<String>, AttachError> {
    let Hook::Tracepoints { category, required, optional } = program.hook else {
        return Ok(match program.hook {
            Hook::BtfTracepoint(name) => vec![name.to_owned()],
            _ => vec!["task iterator".to_owned()],
        });
    };
    let here = |name: &str| {
        tracepoint_exists(category, name)
            .map_err(|source| AttachError::NoTracefs { program: program.name, source })
    };
    let mut hooks = Vec::new();
    for name in required {
        if !here(name)? {
            return Err(AttachError::NoHook { program: program.name, hook: format!("{category}/{name}") });
        }
        hooks.push((*name).to_owned());
    }
    for name in optional {
        if here(name)? {
            hooks.push((*name).to_owned());
        }
    }
    Ok(hooks)
}

fn typed<'a, T>(loaded: &'a mut aya::programs::Program, program: &Program) -> Result<&'a mut T, AttachError>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    <&mut T>::try_from(loaded).map_err(|_| AttachError::NoProgram { program: program.name })
}
