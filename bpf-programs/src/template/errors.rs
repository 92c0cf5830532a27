//! Why a template can't run, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aya::EbpfError;
use aya::programs::ProgramError;
use thiserror::Error;

use super::config::{HookType, Poll};
use super::layout::LayoutError;
use crate::facts::{BTF, Capabilities, Capability};
use crate::loader::NEEDED;
use crate::loader::errors::{chain, grant, is_permission, names as capabilities, verdict};

/// Why a template can't run.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The file can't be read.
    #[error("read program {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No folder to compile in.
    #[error("compile {}: make a temporary folder: {source}", path.display())]
    Folder {
        /// The source.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no compiler.
    #[error("compile {}: run clang: {source}", path.display())]
    NoClang {
        /// The source.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compiler refused it.
    #[error("compile {}: {}", path.display(), words.join(" | "))]
    Compile {
        /// The source.
        path: PathBuf,
        /// What it said, errors first.
        words: Vec<String>,
    },
    /// The compiler went on for too long.
    #[error("compile {}: clang did not end within {} s", path.display(), limit.as_secs())]
    Slow {
        /// The source.
        path: PathBuf,
        /// How long that is.
        limit: Duration,
    },
    /// The object can't be read.
    #[error("read object {}: {why}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Its records can't be.
    #[error("read record type of {}: {source}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<LayoutError>,
    },
    /// The object lacks a program.
    #[error("hook {hook}: the object has no program {program}; it has {}", list(have))]
    NoProgram {
        /// The hook.
        hook: String,
        /// What was asked for.
        program: String,
        /// What there is.
        have: Vec<String>,
    },
    /// It is not said which program is meant.
    #[error("hook {hook}: say with `program` which is meant: the object has {}", list(have))]
    WhichProgram {
        /// The hook.
        hook: String,
        /// What there is.
        have: Vec<String>,
    },
    /// The program is of another kind.
    #[error("hook {hook}: program {program} is in section {section:?}, which is for no {kind}")]
    WrongProgram {
        /// The hook.
        hook: String,
        /// The program.
        program: String,
        /// Where it is.
        section: String,
        /// What would be needed.
        kind: HookType,
    },
    /// Neither configuration nor object say where to attach.
    #[error("attach: say where with `attach`: section {section:?} of program {program} does not tell")]
    NoHooks {
        /// The program.
        program: String,
        /// Where it is.
        section: String,
    },
    /// The kernel binds such a program to one hook.
    #[error(
        "hook {hook}: program {program} is at another hook already, and a {kind} has one: write a function each"
    )]
    OneHook {
        /// The hook.
        hook: String,
        /// The program.
        program: String,
        /// What kind of hook.
        kind: HookType,
    },
    /// There is nothing to attach.
    #[error("attach: the object has no program")]
    NoPrograms,
    /// The object lacks a map.
    #[error("open map {wanted}: the object has none of that name that is a {poll}; it has {}", list(have))]
    NoMap {
        /// Its name.
        wanted: String,
        /// What kind it would have to be.
        poll: String,
        /// What there is.
        have: Vec<String>,
    },
    /// There is none, or more than one.
    #[error("open map: {why}; the object has {}", list(have))]
    WhichMap {
        /// What is wrong.
        why: String,
        /// What there is.
        have: Vec<String>,
    },
    /// A map can't be used.
    #[error("open map {map}: {why}")]
    Map {
        /// Its name.
        map: String,
        /// Why.
        why: String,
    },
    /// The object lacks a constant.
    #[error("set constant {name}: the object has none of that name; it has {}", list(have))]
    NoConstant {
        /// Its name.
        name: String,
        /// What there is.
        have: Vec<String>,
    },
    /// The constant can't be that.
    #[error("set constant {name}: {why}")]
    Constant {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// The kernel has no type information.
    #[error("load object: the kernel has no type information ({BTF})")]
    NoBtf,
    /// Not allowed.
    #[error("{action}: missing {}", capabilities(missing))]
    NotAllowed {
        /// What was tried.
        action: String,
        /// Capabilities this process lacks.
        missing: Vec<Capability>,
    },
    /// The object was refused.
    #[error("load object: {}", chain(source.as_ref()))]
    Load {
        /// The kernel's or the library's answer.
        #[source]
        source: Box<EbpfError>,
    },
    /// The verifier refused a program.
    #[error("load program {program}: refused by the kernel's verifier: {}", words.join(" | "))]
    Refused {
        /// Its name.
        program: String,
        /// The last meaningful lines of what the verifier said.
        words: Vec<String>,
    },
    /// Not permitted.
    #[error("{action} {program}: not permitted on this kernel, or to this user")]
    NotPermitted {
        /// What was tried: `load program`, `attach program`.
        action: &'static str,
        /// Its name.
        program: String,
    },
    /// This kernel, or this file, has no such hook.
    #[error("attach program {program}: there is no {kind} {} here{}", tried.join(", nor "), because(why))]
    NoHook {
        /// The program.
        program: String,
        /// What kind of hook.
        kind: HookType,
        /// All names that were tried.
        tried: Vec<String>,
        /// More, where there is more to say.
        why: String,
    },
    /// Failed for another reason.
    #[error("{action} {program}: {}", chain(source.as_ref()))]
    Program {
        /// What was tried.
        action: &'static str,
        /// Its name.
        program: String,
        /// The kernel's or the library's answer.
        #[source]
        source: Box<ProgramError>,
    },
}

impl TemplateError {
    /// What to do about it, a sentence each.
    pub fn advice(&self) -> Vec<String> {
        let one = |sentence: &str| vec![sentence.to_owned()];
        match self {
            Self::NoClang { .. } => one(
                "install clang and libbpf's headers (Debian, Ubuntu: apt-get install clang libbpf-dev), or compile \
                 the program elsewhere and name the object in `program`",
            ),
            Self::Compile { words, .. } if words.iter().any(|line| line.contains("file not found")) => one(
                "install libbpf's headers (Debian, Ubuntu: apt-get install libbpf-dev linux-libc-dev), or name the \
                 folder they are in with `cflags = [\"-I…\"]`",
            ),
            Self::Layout { source, .. } if matches!(**source, LayoutError::NoBtf) => {
                one("compile it with `clang -g -target bpf`, and do not strip it of its section .BTF")
            }
            Self::NoBtf => one("run a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
            // To whom nothing is missing the kernel itself says no.
            Self::NotPermitted { .. } if Capabilities::effective().missing(&NEEDED).is_empty() => one(
                "this kernel does not let anybody attach such a program (locked down, or built without): use another \
                 type of hook, or mark it `optional = true`",
            ),
            Self::NotPermitted { .. } | Self::NotAllowed { .. } => grant(),
            Self::Refused { .. } => one("mend the program: the verifier says what it can't prove safe"),
            Self::NoHook { .. } => {
                one("give fall-backs as a list of names, or mark the hook `optional = true`")
            }
            _ => Vec::new(),
        }
    }
}

/// What was asked of a program, where it went wrong.
pub(super) const LOAD: &str = "load program";
pub(super) const ATTACH: &str = "attach program";

/// What a failed load or attach means.
pub(super) fn of_program(action: &'static str, program: &str, cause: ProgramError) -> TemplateError {
    let program = program.to_owned();
    if let ProgramError::LoadError { verifier_log, .. } = &cause {
        let words = verdict(&verifier_log.to_string());
        if !words.is_empty() {
            return TemplateError::Refused { program, words };
        }
    }
    let denied =
        matches!(&cause, ProgramError::IOError(error) if error.kind() == io::ErrorKind::PermissionDenied);
    if denied || is_permission(&cause) {
        return TemplateError::NotPermitted { action, program };
    }
    TemplateError::Program { action, program, source: Box::new(cause) }
}

/// A kind of buffer as the kernel calls it.
pub(super) fn map_type(poll: Poll) -> &'static str {
    match poll {
        Poll::RingBuffer => "BPF_MAP_TYPE_RINGBUF",
        Poll::PerfBuffer => "BPF_MAP_TYPE_PERF_EVENT_ARRAY",
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}
