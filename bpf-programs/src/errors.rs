//! Errors of loading the object, pinning it, and attaching its programs, with advice for an administrator.

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::pin::PinError as AyaPinError;
use aya::programs::ProgramError;
use aya::{BtfError, EbpfError};
use model::trusted::Untrusted;
use thiserror::Error;

use crate::facts::{BTF, Capabilities, Capability, KernelVersion, OLDEST};

/// Capabilities needed to load and attach programs.
pub(crate) const NEEDED: [Capability; 2] = [Capability::Bpf, Capability::Perfmon];
/// Mount point of bpffs.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";
/// Number of lines kept from the end of the verifier's log, where it gives the reason.
const WORDS: usize = 3;

/// Error because of which no kernel tracer can run.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    /// The binary was built without the kernel side.
    #[error("load eBPF object: this program was built without one")]
    NotBuilt,
    /// The running kernel is too old.
    #[error("load eBPF object: kernel {found} is too old, {OLDEST} or later is needed")]
    KernelTooOld { found: KernelVersion },
    /// The kernel has no type information.
    #[error("load eBPF object: the kernel has no type information ({BTF})")]
    NoBtf,
    /// The process lacks capabilities, or the kernel refused for another reason.
    #[error("load eBPF object: missing {}", names(missing))]
    NotAllowed {
        /// Capabilities this process lacks.
        missing: Vec<Capability>,
        /// The kernel's error, if loading was tried.
        #[source]
        source: Option<Box<EbpfError>>,
    },
    /// Loading failed for another reason.
    #[error("load eBPF object: {}", chain(source.as_ref()))]
    Object {
        /// The kernel's or the library's error.
        #[source]
        source: Box<EbpfError>,
    },
    /// A map has another type or layout than expected.
    #[error("open eBPF map {map}: {}", chain(source.as_ref()))]
    Map {
        map: &'static str,
        #[source]
        source: Box<MapError>,
    },
    /// A ring buffer can't be mapped into memory.
    #[error("map eBPF ring {map} into memory: {source}")]
    Ring {
        map: &'static str,
        #[source]
        source: io::Error,
    },
    /// The object can't be pinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The object lacks a map.
    #[error("open eBPF map {map}: the object has no map of that name")]
    NoMap { map: &'static str },
}

/// Error because of which a tracer can't be attached.
#[derive(Debug, Error)]
pub(crate) enum AttachError {
    /// The host has no tracer of this name.
    #[error("attach tracer {tracer}: there is no kernel tracer of that name")]
    Unknown { tracer: &'static str },
    /// The host is being stopped.
    #[error("attach tracer {tracer}: the kernel tracers are being stopped")]
    Stopping { tracer: &'static str },
    /// The object lacks the program.
    #[error("load program {program}: the object has no program of that name and type")]
    NoProgram { program: &'static str },
    /// The verifier refused the program.
    #[error("load program {program}: refused by the kernel's verifier: {}", words.join(" | "))]
    Refused {
        program: &'static str,
        /// The last meaningful lines of the verifier's log.
        words: Vec<String>,
    },
    /// The kernel refused for lack of permission.
    #[error("{action} {program}: not permitted")]
    NotPermitted {
        /// The operation that failed: `load program` or `attach program`.
        action: &'static str,
        program: &'static str,
        /// The kernel's error.
        #[source]
        source: Box<ProgramError>,
    },
    /// The kernel has no type information.
    #[error("load program {program}: the kernel has no type information ({BTF})")]
    NoBtf { program: &'static str },
    /// The object could not be loaded.
    #[error(transparent)]
    Load {
        #[from]
        source: Box<LoadError>,
    },
    /// The program could not be put into the table of programs by system call.
    #[error("put program {program} into map {}: {cause}", crate::syscalls::TABLE)]
    Table {
        program: &'static str,
        /// The kernel's or the library's error.
        cause: String,
    },
    /// This kernel lacks the hook.
    #[error("attach program {program}: this kernel has no hook {hook}")]
    NoHook { program: &'static str, hook: String },
    /// Loading or attaching failed for another reason.
    #[error("{action} {program}: {}", chain(source.as_ref()))]
    Program {
        /// The operation that failed: `load program` or `attach program`.
        action: &'static str,
        program: &'static str,
        /// The kernel's or the library's error.
        #[source]
        source: Box<ProgramError>,
    },
    /// The iterator's output could not be read.
    #[error("read the list of running processes: {source}")]
    Iterate {
        #[source]
        source: io::Error,
    },
}

/// Error of pinning.
#[derive(Debug, Error)]
pub(crate) enum PinError {
    /// Mounting bpffs failed.
    #[error("mount bpffs at {path}: {source} (this needs CAP_SYS_ADMIN)")]
    Mount {
        path: &'static str,
        #[source]
        source: io::Error,
    },
    /// No bpffs can be used.
    #[error("find a folder in bpffs: {shared}; {}", chain(source.as_ref()))]
    NoBpffs {
        /// Why the machine's bpffs can't be used.
        shared: String,
        /// Why the agent can't have one of its own.
        #[source]
        source: Box<PinError>,
    },
    /// Other users can change the folder or one above it.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The directory can't be created or read.
    #[error("{operation} {}: {source}", path.display())]
    Folder {
        /// The operation that failed, as a verb.
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Something else has the directory's name.
    #[error(
        "use {} (mode {mode:04o}, uid {uid}): it belongs to another user, or is not a directory, or other users can access it",
        path.display()
    )]
    NotOurs { path: PathBuf, mode: u32, uid: u32 },
    /// Hundreds of links would end at once, see `loader/release.rs`.
    #[error(
        "pin programs of functions: {why}, and some kernels come to a halt when hundreds of such pins end at once: give the \
         agent the machine's mount namespace, or set ebpf.pin = false"
    )]
    EndTogether {
        /// The reason why the pins end before the machine.
        why: String,
    },
    /// Another agent pins there.
    #[error(
        "use {}: a running agent with a work folder of the same path pins there: stop it, or use another --workdir",
        path.display()
    )]
    InUse { path: PathBuf },
    /// The kernel refused to pin a map.
    #[error("pin map {name}: {}", chain(source))]
    Map {
        name: String,
        #[source]
        source: AyaPinError,
    },
}

impl LoadError {
    /// Returns suggestions for an administrator, one sentence each.
    pub(crate) fn advice(&self) -> Vec<String> {
        match self {
            Self::NotBuilt => vec!["build without DUETECTOR_SKIP_BPF, with clang installed".to_owned()],
            Self::KernelTooOld { .. } => vec![format!("run on Linux {OLDEST} or later")],
            Self::NoBtf => vec!["run a kernel built with CONFIG_DEBUG_INFO_BTF=y".to_owned()],
            Self::NotAllowed { missing, .. } if missing.is_empty() => denied(),
            Self::NotAllowed { .. } => grant(),
            Self::Object { .. }
            | Self::Map { .. }
            | Self::Ring { .. }
            | Self::Pin(_)
            | Self::NoMap { .. } => Vec::new(),
        }
    }
}

impl AttachError {
    /// Returns suggestions for an administrator, one sentence each.
    pub(crate) fn advice(&self) -> Vec<String> {
        match self {
            Self::NotPermitted { .. } => denied(),
            Self::Refused { .. } => {
                vec!["report it with the kernel's version; other tracers run on".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// Returns advice on how to get the permissions that kernel tracers need.
pub(crate) fn grant() -> Vec<String> {
    let mut advice = vec![
        "run as root, or grant the binary what it needs: \
         setcap cap_bpf,cap_perfmon,cap_dac_read_search+ep <path to duetector-actors>"
            .to_owned(),
    ];
    if crate::facts::in_user_namespace() {
        advice.push(
            "this process is in a user namespace (a rootless container?), where capabilities don't count; \
                     run it outside"
                .to_owned(),
        );
    }
    advice
}

/// Returns advice after the kernel refused permission. A process that has all capabilities is not advised to get them.
fn denied() -> Vec<String> {
    let has_all = Capabilities::effective().missing(&NEEDED).is_empty();
    if !has_all || crate::facts::in_user_namespace() {
        return grant();
    }
    vec![
        "this process has the capabilities it needs: check whether lockdown, a security module or a container's \
         seccomp filter refuses such programs (dmesg, /sys/kernel/security/lockdown)"
            .to_owned(),
    ]
}

/// Converts the library's error of loading an object.
pub(crate) fn of_object(cause: EbpfError) -> LoadError {
    if is_permission(&cause) {
        return LoadError::NotAllowed { missing: Vec::new(), source: Some(Box::new(cause)) };
    }
    LoadError::Object { source: Box::new(cause) }
}

/// Converts the library's error of loading or attaching a program.
pub(crate) fn of_program(action: &'static str, program: &'static str, cause: ProgramError) -> AttachError {
    if let ProgramError::LoadError { verifier_log, .. } = &cause {
        let words = verdict(&verifier_log.to_string());
        if !words.is_empty() {
            return AttachError::Refused { program, words };
        }
    }
    if let ProgramError::Btf(BtfError::UnknownBtfTypeName { type_name }) = &cause {
        return AttachError::NoHook { program, hook: type_name.clone() };
    }
    // The library's transparent variant hides the error itself from the chain of sources.
    let denied = matches!(&cause, ProgramError::IOError(error) if is_denied(error)) || is_permission(&cause);
    let source = Box::new(cause);
    match denied {
        true => AttachError::NotPermitted { action, program, source },
        false => AttachError::Program { action, program, source },
    }
}

/// Returns the end of a verifier's log without statistics and state dumps.
pub(crate) fn verdict(log: &str) -> Vec<String> {
    let is_noise = |line: &str| {
        let counted =
            ["processed ", "verification time ", "stack depth ", "mark_precise", "max_states_per_insn"];
        line.is_empty() || counted.iter().any(|start| line.starts_with(start))
    };
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !is_noise(line)).collect();
    lines[lines.len().saturating_sub(WORDS)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Returns whether EPERM or EACCES is among the causes.
pub(crate) fn is_permission(cause: &(dyn std::error::Error + 'static)) -> bool {
    let mut link = Some(cause);
    while let Some(error) = link {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        {
            return true;
        }
        link = error.source();
    }
    false
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Joins all causes in one line: the library's outer messages often hide the one that matters.
pub(crate) fn chain(cause: &(dyn std::error::Error + 'static)) -> String {
    let mut text = cause.to_string();
    let mut link = cause.source();
    while let Some(error) = link {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        link = error.source();
    }
    text
}

/// Lists capabilities for a message.
pub(crate) fn names(missing: &[Capability]) -> String {
    let names: Vec<String> = missing.iter().map(Capability::to_string).collect();
    if names.is_empty() { "a permission".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_end_of_a_log_without_statistics() {
        let log = "0: R1=ctx() R10=fp0\n; int probe(void *ctx)\n3: (79) r1 = *(u64 *)(r1 +0)\n\
                   R1 invalid mem access 'scalar'\nverification time 45 usec\nstack depth 0\n\
                   processed 4 insns (limit 1000000) max_states_per_insn 0\n";
        let words = verdict(log);
        assert_eq!(words.last().unwrap(), "R1 invalid mem access 'scalar'");
        assert_eq!(words.len(), 3);
        assert!(verdict("processed 4 insns\n").is_empty());
    }

    #[test]
    fn a_permission_error_is_found_among_the_causes() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let cause = ProgramError::IOError(denied());
        let error = of_program("attach program", "open_enter", cause);
        assert!(matches!(error, AttachError::NotPermitted { .. }), "{error}");
        // The advice depends on the permissions of the test.
        let has_all =
            Capabilities::effective().missing(&NEEDED).is_empty() && !crate::facts::in_user_namespace();
        assert_eq!(error.advice()[0].contains("setcap"), !has_all, "{:?}", error.advice());
    }
}
