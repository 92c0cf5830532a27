//! Attaches a template's programs to their hooks: to the first of a hook's names that exists.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeError, UProbeScope};
use aya::programs::{Program, ProgramError};
use aya::{Btf, BtfError};

use super::config::HookType;
use super::errors::{ATTACH, LOAD, TemplateError, of_program};
use super::hook::{Hook, Point, UprobeTarget};
use crate::facts;

/// Folders that are searched for libraries, the architecture's own first.
const LIBRARIES: [&str; 7] = [
    "/lib/ARCH-linux-gnu",
    "/usr/lib/ARCH-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];
/// The kernel's list of active security modules.
const LSM_LIST: &str = "/sys/kernel/security/lsm";

/// Attaches the programs of one object.
#[derive(Default)]
pub(super) struct Attacher {
    /// The kernel's type information: 16 MiB, read on first use and dropped with this.
    btf: Option<Btf>,
    /// Hooks by program, for programs that the kernel binds to a hook when they are loaded.
    bound: BTreeMap<String, String>,
}

impl Attacher {
    /// Loads the program if necessary, and attaches it; returns the hook with the name that was found.
    pub(super) fn attach(
        &mut self,
        program: &mut Program,
        name: &str,
        hook: &Hook,
    ) -> Result<String, TemplateError> {
        let kind = hook.kind();
        match &hook.point {
            Point::Tracepoint { category, names } => {
                load(program, name)?;
                first(names, name, kind, |candidate| {
                    let found = tracepoint(program, name, category, candidate)?;
                    Ok(format!("{kind} {found}"))
                })
            }
            Point::Named { kind: HookType::RawTracepoint, names } => {
                load(program, name)?;
                first(names, name, kind, |candidate| raw_tracepoint(program, name, candidate))
            }
            Point::Named { kind: HookType::Kprobe | HookType::Kretprobe, names } => {
                load(program, name)?;
                first(names, name, kind, |candidate| kprobe(program, name, kind, candidate))
            }
            Point::Named { names, .. } => {
                first(names, name, kind, |candidate| self.typed(program, name, hook, candidate))
            }
            Point::User { path, target, pid, .. } => {
                load(program, name)?;
                user(program, name, kind, path, target, *pid)
            }
            Point::Clock { frequency } => {
                load(program, name)?;
                clock(program, name, *frequency)?;
                Ok(hook.to_string())
            }
        }
    }

    /// Attaches at hooks that the kernel knows by their types: the program is bound to one when it is loaded.
    fn typed(
        &mut self,
        program: &mut Program,
        name: &str,
        hook: &Hook,
        candidate: &str,
    ) -> Result<String, TemplateError> {
        let (kind, hook_text) = (hook.kind(), format!("{} {candidate}", hook.kind()));
        if self.bound.get(name).is_some_and(|bound| *bound != hook_text) {
            return Err(TemplateError::OneHook { hook: hook_text, program: name.to_owned(), kind });
        }
        if self.btf.is_none() {
            self.btf = Some(Btf::from_sys_fs().map_err(|_| TemplateError::NoBtf)?);
        }
        let Some(btf) = &self.btf else { return Err(TemplateError::NoBtf) };
        let loaded = match program {
            Program::BtfTracePoint(program) => program.load(candidate, btf),
            Program::FEntry(program) => program.load(candidate, btf),
            Program::FExit(program) => program.load(candidate, btf),
            Program::Lsm(program) => program.load(candidate, btf),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        match loaded {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(ProgramError::Btf(BtfError::UnknownBtfTypeName { .. })) => {
                return Err(missing(name, kind, candidate, ""));
            }
            Err(cause) => return Err(of_program(LOAD, name, cause)),
        }
        self.bound.insert(name.to_owned(), hook_text.clone());
        let attached = match program {
            Program::BtfTracePoint(program) => program.attach().map(drop),
            Program::FEntry(program) => program.attach().map(drop),
            Program::FExit(program) => program.attach().map(drop),
            Program::Lsm(program) => program.attach().map(drop),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        attached.map_err(|cause| of_program(ATTACH, name, cause))?;
        Ok(hook_text)
    }
}

/// Explains why an attached hook of this kind would still see nothing on this kernel, if so.
pub(super) fn blind(kind: HookType) -> Option<String> {
    // A program at a hook of an inactive security module is attached and never runs.
    let list = std::fs::read_to_string(LSM_LIST).ok().filter(|_| kind == HookType::Lsm)?;
    let at_work = list.trim().split(',').any(|module| module == "bpf");
    (!at_work).then(|| format!("the kernel runs no lsm programs: boot it with lsm={},bpf", list.trim()))
}

/// Attaches at the first candidate that exists. A failure of another kind ends the search: the next candidate
/// would fail the same way.
fn first(
    names: &[String],
    program: &str,
    kind: HookType,
    mut attach: impl FnMut(&str) -> Result<String, TemplateError>,
) -> Result<String, TemplateError> {
    let (mut all, mut reason) = (Vec::new(), String::new());
    for name in names {
        match attach(name) {
            Err(TemplateError::NoHook { why, tried, .. }) => {
                reason = why;
                all.extend(tried);
            }
            other => return other,
        }
    }
    Err(TemplateError::NoHook { program: program.to_owned(), kind, tried: all, why: reason })
}

fn missing(program: &str, kind: HookType, name: &str, why: &str) -> TemplateError {
    let (program, tried) = (program.to_owned(), vec![name.to_owned()]);
    TemplateError::NoHook { program, kind, tried, why: why.to_owned() }
}

/// Loads a program that is not bound to its hook: this is where the verifier may refuse it.
fn load(program: &mut Program, name: &str) -> Result<(), TemplateError> {
    let done = match program {
        Program::TracePoint(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        Program::KProbe(program) => program.load(),
        Program::UProbe(program) => program.load(),
        Program::PerfEvent(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    match done {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(cause) => Err(of_program(LOAD, name, cause)),
    }
}

fn tracepoint(
    program: &mut Program,
    name: &str,
    category: &str,
    candidate: &str,
) -> Result<String, TemplateError> {
    let hook = format!("{category}/{candidate}");
    let kind = HookType::Tracepoint;
    let tracefs = facts::tracefs().map_err(|cause| {
        let advice = "mount it: mount -t tracefs tracefs /sys/kernel/tracing";
        missing(name, kind, &hook, &format!("tracefs can't be read: {cause}; {advice}"))
    })?;
    if !tracefs.join("events").join(category).join(candidate).is_dir() {
        return Err(missing(name, kind, &hook, ""));
    }
    let Program::TracePoint(program) = program else { return Err(unexpected(name)) };
    program.attach(category, candidate).map_err(|cause| of_program(ATTACH, name, cause))?;
    Ok(hook)
}

fn raw_tracepoint(program: &mut Program, name: &str, candidate: &str) -> Result<String, TemplateError> {
    let Program::RawTracePoint(program) = program else { return Err(unexpected(name)) };
    match program.attach(candidate) {
        Ok(_) => Ok(format!("{} {candidate}", HookType::RawTracepoint)),
        Err(cause) if is(&cause, &[io::ErrorKind::NotFound]) => {
            Err(missing(name, HookType::RawTracepoint, candidate, ""))
        }
        Err(cause) => Err(of_program(ATTACH, name, cause)),
    }
}

fn kprobe(
    program: &mut Program,
    name: &str,
    kind: HookType,
    candidate: &str,
) -> Result<String, TemplateError> {
    if !has_probes("kprobe") {
        return Err(missing(name, kind, candidate, "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)"));
    }
    let Program::KProbe(program) = program else { return Err(unexpected(name)) };
    match program.attach(candidate, 0) {
        Ok(_) => Ok(format!("{kind} {candidate}")),
        // Errors of the kernel for a function that it lacks, or that must not be probed.
        Err(cause) if is(&cause, &[io::ErrorKind::NotFound, io::ErrorKind::InvalidInput]) => {
            Err(missing(name, kind, candidate, ""))
        }
        Err(cause) => Err(of_program(ATTACH, name, cause)),
    }
}

fn user(
    program: &mut Program,
    name: &str,
    kind: HookType,
    path: &str,
    target: &UprobeTarget,
    pid: Option<u32>,
) -> Result<String, TemplateError> {
    if !has_probes("uprobe") {
        let tried = match target {
            UprobeTarget::Functions(names) => names.join("|"),
            UprobeTarget::Offset(offset) => format!("{offset:#x}"),
        };
        let why = "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)";
        return Err(missing(name, kind, &format!("{path}:{tried}"), why));
    }
    let file = library(path);
    let Program::UProbe(program) = program else { return Err(unexpected(name)) };
    let scope = pid.and_then(NonZeroU32::new).map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
    let mut attach = |location: UProbeAttachLocation<'_>, point: String| match program
        .attach(location, &file, scope)
    {
        Ok(_) => Ok(format!("{kind} {point}")),
        Err(ProgramError::UProbeError(cause)) => match cause {
            UProbeError::SymbolError { error, .. } => Err(missing(name, kind, &point, &error.to_string())),
            UProbeError::InvalidTarget { .. } => Err(missing(name, kind, &point, "there is no such file")),
            other => Err(of_program(ATTACH, name, ProgramError::UProbeError(other))),
        },
        Err(cause) => Err(of_program(ATTACH, name, cause)),
    };
    match target {
        UprobeTarget::Functions(names) => first(names, name, kind, |function| {
            attach(UProbeAttachLocation::Symbol(function), format!("{path}:{function}"))
        }),
        UprobeTarget::Offset(offset) => {
            attach(UProbeAttachLocation::AbsoluteOffset(*offset), format!("{path}+{offset:#x}"))
        }
    }
}

fn clock(program: &mut Program, name: &str, frequency: u64) -> Result<(), TemplateError> {
    let Program::PerfEvent(program) = program else { return Err(unexpected(name)) };
    let failed = |cause| of_program(ATTACH, name, cause);
    let cpus = aya::util::online_cpus().map_err(|(_, cause)| failed(cause.into()))?;
    for cpu in cpus {
        let event = PerfEventConfig::Software(SoftwareEvent::CpuClock);
        let scope = PerfEventScope::AllProcessesOneCpu { cpu };
        program.attach(event, scope, SamplePolicy::Frequency(frequency), false).map_err(failed)?;
    }
    Ok(())
}

/// True if the kernel can make probes of this kind without tracefs.
fn has_probes(kind: &str) -> bool {
    Path::new("/sys/bus/event_source/devices").join(kind).join("type").exists()
}

/// Returns a library's file: the path itself, or the file of that name in [`LIBRARIES`]. What is not found is
/// left to the loader's cache, which knows names without their version (`libc`).
fn library(path: &str) -> PathBuf {
    let folders = LIBRARIES.map(|folder| PathBuf::from(folder.replace("ARCH", std::env::consts::ARCH)));
    let found = folders.into_iter().map(|folder| folder.join(path)).find(|file| file.is_file());
    found.filter(|_| !path.contains('/')).unwrap_or_else(|| PathBuf::from(path))
}

fn unexpected(name: &str) -> TemplateError {
    of_program(ATTACH, name, ProgramError::UnexpectedProgramType)
}

/// True if the kernel's error is of one of these kinds.
fn is(cause: &ProgramError, kinds: &[io::ErrorKind]) -> bool {
    let mut link: Option<&(dyn std::error::Error + 'static)> = Some(cause);
    while let Some(error) = link {
        if error.downcast_ref::<io::Error>().is_some_and(|error| kinds.contains(&error.kind())) {
            return true;
        }
        link = error.source();
    }
    false
}
