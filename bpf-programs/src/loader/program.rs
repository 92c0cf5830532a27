//! Loads single programs and attaches them to their hooks.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use aya::Btf;
use aya::programs::fentry::FEntryLink;
use aya::programs::fexit::FExitLink;
use aya::programs::links::FdLink;
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{BtfTracePoint, FEntry, FExit, Iter, ProgramError, RawTracePoint};
use model::lock::{lock, unpoisoned};

use super::pins::{Pinned, Pins};
use super::release;
use crate::errors::{AttachError, chain, of_program};
use crate::programs::{Hook, Program};
use crate::tier::Tier;
use crate::trampoline::Part;

const LOAD: &str = "load program";
const ATTACH: &str = "attach program";
/// Number of threads that load programs; more would wait for each other in the kernel's allocator.
const MAX_WORKERS: usize = 4;

/// A hook a program is attached to. Dropping it detaches the program, unless the link is pinned.
pub(super) struct Held {
    pub(super) hook: String,
    link: Link,
    /// True if it is a function of the kernel.
    at_function: bool,
    /// Id of the attached program.
    pub(super) program: Option<u32>,
}

enum Link {
    Btf(BtfTracePointLink),
    Raw(RawTracePointLink),
    Function(FExitLink),
    Entry(FEntryLink),
    Pinned(Pinned),
    Unpinned(FdLink),
}

impl Link {
    /// Returns the link without aya's wrapper; `Err` if it is pinned.
    fn open(self) -> Result<FdLink, Pinned> {
        match self {
            Self::Btf(link) => Ok(link.into()),
            Self::Raw(link) => Ok(link.into()),
            Self::Function(link) => Ok(link.into()),
            Self::Entry(link) => Ok(link.into()),
            Self::Unpinned(link) => Ok(link),
            Self::Pinned(link) => Err(link),
        }
    }
}

impl Held {
    /// Takes over a hook attached by an earlier agent through a pinned link.
    pub(super) fn pinned(hook: String, link: Pinned, at_function: bool) -> Self {
        Self { program: link.program, hook, link: Link::Pinned(link), at_function }
    }

    /// Removes the pin of the link of a program, which then lasts while the agent runs; `None` if that failed.
    pub(super) fn unpin(self) -> Option<Self> {
        let Self { hook, link: Link::Pinned(link), at_function, program } = self else { return Some(self) };
        let unpinned = link.unpin().inspect_err(|cause| {
            tracing::error!(
                hook,
                %cause,
                "removing a pinned link failed, and with it the program was detached"
            );
        });
        Some(Self { link: Link::Unpinned(unpinned.ok()?), hook, at_function, program })
    }

    /// Detaches the program, also if the link is pinned. One at a function of the kernel then ends a little later.
    pub(super) fn detach(self) {
        wait_if_wanted();
        let Self { hook, link, at_function, .. } = self;
        let done = match link.open() {
            Ok(link) if at_function => {
                release::open(link);
                Ok(())
            }
            Ok(link) => {
                drop(link);
                Ok(())
            }
            Err(pinned) if at_function => pinned.detach_later(),
            Err(pinned) => pinned.unpin().map(drop),
        };
        if let Err(cause) = done {
            tracing::warn!(hook, %cause, "removing a pinned link failed");
        }
    }
}

/// Loads a program unless it is loaded; one for a trampoline is loaded for function `target`. The verifier checks it here.
pub(super) fn load(
    loaded: &mut aya::programs::Program,
    program: &Program,
    target: Option<&str>,
    btf: &Btf,
) -> Result<(), AttachError> {
    use aya::programs::Program as Loaded;
    let of_btf = program.hook.btf_tracepoint(btf).unwrap_or_default();
    if let (Hook::NewBtfTracepoint(name), "") = (program.hook, of_btf) {
        return Err(AttachError::NoHook { program: program.name, hook: name.to_owned() });
    }
    let done = match (loaded, program.hook) {
        (Loaded::Iter(loaded), Hook::TaskIterator) => loaded.load("task", btf),
        (Loaded::BtfTracePoint(loaded), _) => loaded.load(of_btf, btf),
        (Loaded::RawTracePoint(loaded), _) => loaded.load(),
        (Loaded::FEntry(loaded), _) => loaded.load(target.unwrap_or_default(), btf),
        (Loaded::FExit(loaded), _) => loaded.load(target.unwrap_or_default(), btf),
        _ => return Err(AttachError::NoProgram { program: program.name }),
    };
    match done {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(cause) => Err(of_program(LOAD, program.name, cause)),
    }
}

/// A program to load, and the part of it.
pub(super) type Job = (&'static Program, Part);

/// Loads programs in parallel; returns the names of those that the verifier accepted.
pub(super) fn load_all(jobs: Vec<(Job, &mut aya::programs::Program)>, btf: &Btf) -> BTreeSet<String> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS);
    let (jobs, done) = (Mutex::new(jobs), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // The lock is held for as long as it takes to pick one.
                let next = || lock(&jobs).pop();
                while let Some(((program, part), loaded)) = next() {
                    if load(loaded, program, part.target.as_deref(), btf).is_ok() {
                        lock(&done).insert(part.name);
                    }
                }
            });
        }
    });
    unpoisoned(done.into_inner())
}

/// Attaches a loaded program to these of its hooks.
pub(super) fn attach(
    loaded: &mut aya::programs::Program,
    program: &Program,
    hooks: Vec<String>,
    pins: Option<&Pins>,
) -> Result<Vec<Held>, AttachError> {
    hooks.into_iter().map(|hook| attach_and_pin(loaded, program, hook, pins)).collect()
}

/// Attaches a program to a hook and pins the link. A link that can't be pinned (before 5.15) lasts while the agent runs.
fn attach_and_pin(
    loaded: &mut aya::programs::Program,
    program: &Program,
    hook: String,
    pins: Option<&Pins>,
) -> Result<Held, AttachError> {
    let held = attach_one(loaded, program, hook.clone())?;
    let at_function = held.at_function;
    let Some(pins) = pins else { return Ok(held) };
    let plain = match held.link.open() {
        Ok(link) => link,
        Err(link) => return Ok(Held::pinned(hook, link, at_function)),
    };
    let pinned = pins.pin_link(plain, program.name, &hook).map_err(|cause| chain(&cause));
    match pinned {
        Ok(link) => Ok(Held::pinned(hook, link, at_function)),
        Err(cause) => {
            tracing::warn!(
                program = program.name,
                hook,
                cause,
                "pinning failed: events between two runs will be missed"
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
    let link = match &loaded {
        aya::programs::Program::RawTracePoint(_) => {
            let tracepoint = typed::<RawTracePoint>(loaded, program)?;
            let first = tracepoint.attach(&hook);
            let others = match program.hook {
                Hook::FirstBtfTracepoint(names) => names,
                _ => &[],
            };
            let attached = others.iter().fold(first, |done, name| done.or_else(|_| tracepoint.attach(name)));
            let id = attached.map_err(|cause| match cause {
                ProgramError::SyscallError(error) if error.io_error.kind() == io::ErrorKind::NotFound => {
                    AttachError::NoHook { program: program.name, hook: hook.clone() }
                }
                cause => failed(cause),
            })?;
            Link::Raw(tracepoint.take_link(id).map_err(failed)?)
        }
        aya::programs::Program::FEntry(_) => {
            let function = typed::<FEntry>(loaded, program)?;
            let id = function.attach().map_err(failed)?;
            Link::Entry(function.take_link(id).map_err(failed)?)
        }
        aya::programs::Program::FExit(_) => {
            let function = typed::<FExit>(loaded, program)?;
            let id = function.attach().map_err(failed)?;
            Link::Function(function.take_link(id).map_err(failed)?)
        }
        _ => {
            let tracepoint = typed::<BtfTracePoint>(loaded, program)?;
            let id = tracepoint.attach().map_err(failed)?;
            Link::Btf(tracepoint.take_link(id).map_err(failed)?)
        }
    };
    let at_function = matches!(link, Link::Function(_) | Link::Entry(_));
    let program = id(loaded);
    Ok(Held { hook, link, at_function, program })
}

/// Returns the id of a loaded program.
pub(super) fn id(loaded: &aya::programs::Program) -> Option<u32> {
    loaded.info().ok().map(|info| info.id())
}

/// Opens the iterator's output.
pub(super) fn iterate(loaded: &mut aya::programs::Program, program: &Program) -> Result<File, AttachError> {
    let failed = |cause| of_program(ATTACH, program.name, cause);
    let iterator = typed::<Iter>(loaded, program)?;
    let id = iterator.attach().map_err(failed)?;
    let link = iterator.take_link(id).map_err(failed)?;
    link.into_file().map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })
}

/// Waits as many milliseconds as a test wants each detaching to take.
#[cfg(feature = "fault-injection")]
fn wait_if_wanted() {
    let wanted = std::env::var("DUETECTOR_FAULT_SLOW_DETACH").unwrap_or_default();
    thread::sleep(std::time::Duration::from_millis(wanted.parse().unwrap_or_default()));
}

#[cfg(not(feature = "fault-injection"))]
fn wait_if_wanted() {}

/// Returns whether a test wants the hook to be missing: listed by name, or for one tier only as `tier:name`.
#[cfg(feature = "fault-injection")]
pub(super) fn is_missing(tier: Tier, hook: &str) -> bool {
    let missing = std::env::var("DUETECTOR_FAULT_HOOKS").unwrap_or_default();
    missing.split(',').any(|name| name == hook || name.strip_prefix(tier.name()) == Some(&format!(":{hook}")))
}

#[cfg(not(feature = "fault-injection"))]
pub(super) fn is_missing(_: Tier, _: &str) -> bool {
    false
}

/// Fails if a test wants the hook to be missing.
pub(super) fn refuse_missing(program: &'static str, tier: Tier, hook: &str) -> Result<(), AttachError> {
    if is_missing(tier, hook) {
        return Err(AttachError::NoHook { program, hook: hook.to_owned() });
    }
    Ok(())
}

fn typed<'a, T>(loaded: &'a mut aya::programs::Program, program: &Program) -> Result<&'a mut T, AttachError>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    <&mut T>::try_from(loaded).map_err(|_| AttachError::NoProgram { program: program.name })
}
