//! Reasons why a template can't run, with possible remedies.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aya::EbpfError;
use aya::programs::ProgramError;
use thiserror::Error;

use super::config::{HookType, Poll};
use super::layout::LayoutError;
use crate::facts::{BTF, Capabilities, Capability};

use crate::errors::{NEEDED, chain, grant, is_permission, names as capabilities, verdict};

/// Reason why a template can't run.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The file can't be read.
    #[error("read program {}: {source}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// No folder to compile in.
    #[error("compile {}: make a temporary folder: {source}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is no compiler.
    #[error("compile {}: run clang: {source}", path.display())]
    NoClang {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The compiler refused it.
    #[error("compile {}: {}", path.display(), words.join(" | "))]
    Compile {
        path: PathBuf,
        /// The compiler's output, errors first.
        words: Vec<String>,
    },
    /// The compiler took too long.
    #[error("compile {}: clang did not end within {} s", path.display(), limit.as_secs())]
    Slow {
        path: PathBuf,
        /// The time limit.
        limit: Duration,
    },
    /// The object can't be read.
    #[error("read object {}: {why}", path.display())]
    Object { path: PathBuf, why: String },
    /// The object's records can't be decoded.
    #[error("read record type of {}: {source}", path.display())]
    Layout {
        path: PathBuf,
        #[source]
        source: Box<LayoutError>,
    },
    /// The object lacks the named program.
    #[error("hook {hook}: the object has no program {program}; it has {}", list(have))]
    NoProgram {
        hook: String,
        /// The requested name.
        program: String,
        /// Names that exist.
        have: Vec<String>,
    },
    /// More than one program fits, and none is named.
    #[error("hook {hook}: name its program with `program`; the object has {}", list(have))]
    WhichProgram {
        hook: String,
        /// Names that exist.
        have: Vec<String>,
    },
    /// The program is of another kind.
    #[error("hook {hook}: program {program} is in section {section:?}, which is not for a {kind}")]
    WrongProgram {
        hook: String,
        program: String,
        /// The program's section.
        section: String,
        /// The hook's type, which another kind of program is for.
        kind: HookType,
    },
    /// Neither configuration nor object name a hook.
    #[error("attach program {program}: its section {section:?} names no hook; name one with `attach`")]
    NoHooks {
        program: String,
        /// The program's section.
        section: String,
    },
    /// The kernel binds such a program to one hook.
    #[error(
        "hook {hook}: program {program} is already attached to another hook, and one for a {kind} can have only one: \
         write a program for each hook"
    )]
    OneHook {
        hook: String,
        program: String,
        /// The hook's type.
        kind: HookType,
    },
    /// The object has no program to attach.
    #[error("attach programs: the object has none")]
    NoPrograms,
    /// The object lacks a map.
    #[error("open map {wanted}: the object has no {poll} of that name; it has {}", list(have))]
    NoMap {
        wanted: String,
        /// The kind of map that is needed.
        poll: String,
        /// Names that exist.
        have: Vec<String>,
    },
    /// No map, or more than one, could be meant.
    #[error("open map: {why}; the object has {}", list(have))]
    WhichMap {
        /// Describes what is wrong.
        why: String,
        /// Names that exist.
        have: Vec<String>,
    },
    /// A map can't be used.
    #[error("open map {map}: {why}")]
    Map { map: String, why: String },
    /// The object lacks a constant.
    #[error("set constant {name}: the object has no such constant; it has {}", list(have))]
    NoConstant {
        name: String,
        /// Names that exist.
        have: Vec<String>,
    },
    /// The value does not fit the constant.
    #[error("set constant {name}: {why}")]
    Constant { name: String, why: String },
    /// The kernel has no type information.
    #[error("load object: the kernel has no type information ({BTF})")]
    NoBtf,
    /// The process lacks capabilities.
    #[error("{action}: missing {}", capabilities(missing))]
    NotAllowed {
        /// The operation that failed.
        action: String,
        /// Capabilities this process lacks.
        missing: Vec<Capability>,
    },
    /// The kernel or the library refused the object.
    #[error("load object: {}", chain(source.as_ref()))]
    Load {
        /// The kernel's or the library's answer.
        #[source]
        source: Box<EbpfError>,
    },
    /// The verifier refused a program.
    #[error("load program {program}: refused by the kernel's verifier: {}", words.join(" | "))]
    Refused {
        program: String,
        /// The last meaningful lines of what the verifier said.
        words: Vec<String>,
    },
    /// The kernel refused permission.
    #[error("{action} {program}: not permitted on this kernel, or to this user")]
    NotPermitted {
        /// The operation: `load program` or `attach program`.
        action: &'static str,
        program: String,
    },
    /// This kernel, or this file, has no such hook.
    #[error("attach program {program}: this machine has no {kind} {}{}", tried.join(" or "), because(why))]
    NoHook {
        program: String,
        /// The hook's type.
        kind: HookType,
        /// All names that were tried.
        tried: Vec<String>,
        /// More about the cause, if there is more to say.
        why: String,
    },
    /// Loading or attaching failed for another reason.
    #[error("{action} {program}: {}", chain(source.as_ref()))]
    Program {
        /// The operation that failed.
        action: &'static str,
        program: String,
        /// The kernel's or the library's answer.
        #[source]
        source: Box<ProgramError>,
    },
}

impl TemplateError {
    /// Returns possible remedies, a sentence each.
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
                "this kernel lets no process attach such a program (locked down, or built without): use another \
                 type of hook, or mark it `optional = true`",
            ),
            Self::NotPermitted { .. } | Self::NotAllowed { .. } => grant(),
            Self::Refused { .. } => {
                one("fix the program: the message shows what the verifier can't prove safe")
            }
            Self::NoHook { .. } => {
                one("give fall-backs as a list of names, or mark the hook `optional = true`")
            }
            _ => Vec::new(),
        }
    }
}

/// The operation that failed, for errors.
pub(super) const LOAD: &str = "load program";
pub(super) const ATTACH: &str = "attach program";

/// Converts an error of loading or attaching.
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

/// Returns the kernel's name of a kind of buffer.
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
