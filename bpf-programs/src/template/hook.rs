//! Hooks of a template's programs: from the configuration, or from the names of the object's sections.

use std::fmt;

use super::config::{HookConfig, HookType};

/// A hook, and the program for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub point: Point,
    /// The program's function; `None`: the only one for such a hook.
    pub program: Option<String>,
    /// True if the tracer can run without this hook.
    pub optional: bool,
}

/// A point at which a program can be attached. Names that are lists are tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// A hook of `type = "tracepoint"`.
    Tracepoint {
        /// Folder below `events` in tracefs.
        category: String,
        names: Vec<String>,
    },
    /// A hook that is identified by a name alone.
    Named {
        /// The hook's type.
        kind: HookType,
        names: Vec<String>,
    },
    /// `uprobe` and `uretprobe`
    User {
        /// True: at the function's return.
        returns: bool,
        /// Program or library.
        path: String,
        /// The point in that file.
        target: UprobeTarget,
        /// Limits the hook to this process.
        pid: Option<u32>,
    },
    /// A hook of `type = "perf_event"`.
    Clock {
        /// Samples a second, on each CPU.
        frequency: u64,
    },
}

/// A point in a file of user code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UprobeTarget {
    /// The first of these functions that exists.
    Functions(Vec<String>),
    /// An offset in the file.
    Offset(u64),
}

impl Hook {
    /// Returns the hook of an entry of `attach`, which must be valid.
    pub(super) fn of_config(config: &HookConfig) -> Self {
        let names = |names: &super::config::Names| names.0.clone();
        let point = match config.kind {
            HookType::Tracepoint => Point::Tracepoint {
                category: config.category.clone().unwrap_or_default(),
                names: names(&config.name),
            },
            kind @ (HookType::RawTracepoint | HookType::BtfTracepoint) => {
                Point::Named { kind, names: names(&config.name) }
            }
            kind @ (HookType::Uprobe | HookType::Uretprobe) => Point::User {
                returns: kind == HookType::Uretprobe,
                path: config.path.clone().unwrap_or_default(),
                target: config
                    .offset
                    .map_or_else(|| UprobeTarget::Functions(names(&config.function)), UprobeTarget::Offset),
                pid: config.pid,
            },
            HookType::PerfEvent => Point::Clock { frequency: config.frequency.unwrap_or_default() },
            kind => Point::Named { kind, names: names(&config.function) },
        };
        Self { point, program: config.program.clone(), optional: config.optional }
    }

    /// Returns the hook that a program's section names in full (`tracepoint/signal/signal_generate`), if it does.
    pub(crate) fn of_section(program: &str, section: &str) -> Option<Self> {
        let (kind, rest) = section.split_once('/')?;
        let named = |kind| Point::Named { kind, names: vec![rest.to_owned()] };
        let point = match section_type(kind)? {
            HookType::Tracepoint => {
                let (category, name) = rest.split_once('/')?;
                Point::Tracepoint { category: category.to_owned(), names: vec![name.to_owned()] }
            }
            kind @ (HookType::Uprobe | HookType::Uretprobe) => {
                let (path, function) = rest.rsplit_once(':')?;
                Point::User {
                    returns: kind == HookType::Uretprobe,
                    path: path.to_owned(),
                    target: UprobeTarget::Functions(vec![function.to_owned()]),
                    pid: None,
                }
            }
            HookType::PerfEvent => return None,
            kind => named(kind),
        };
        Some(Self { point, program: Some(program.to_owned()), optional: false })
    }

    /// Returns the hook's type.
    pub(crate) fn kind(&self) -> HookType {
        match &self.point {
            Point::Tracepoint { .. } => HookType::Tracepoint,
            Point::Named { kind, .. } => *kind,
            Point::User { returns: false, .. } => HookType::Uprobe,
            Point::User { returns: true, .. } => HookType::Uretprobe,
            Point::Clock { .. } => HookType::PerfEvent,
        }
    }
}

/// Returns the type of hook for programs in sections with this first part, if there is one.
pub(super) fn section_type(kind: &str) -> Option<HookType> {
    Some(match kind {
        "tracepoint" | "tp" => HookType::Tracepoint,
        "raw_tracepoint" | "raw_tp" => HookType::RawTracepoint,
        "tp_btf" => HookType::BtfTracepoint,
        "kprobe" => HookType::Kprobe,
        "kretprobe" => HookType::Kretprobe,
        "fentry" | "fentry.s" => HookType::Fentry,
        "fexit" | "fexit.s" => HookType::Fexit,
        "lsm" | "lsm.s" => HookType::Lsm,
        "uprobe" | "uprobe.s" => HookType::Uprobe,
        "uretprobe" | "uretprobe.s" => HookType::Uretprobe,
        "perf_event" => HookType::PerfEvent,
        _ => return None,
    })
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match &self.point {
            Point::Tracepoint { category, names } => write!(f, "{kind} {category}/{}", names.join("|")),
            Point::Named { names, .. } => write!(f, "{kind} {}", names.join("|")),
            Point::User { path, target: UprobeTarget::Functions(names), .. } => {
                write!(f, "{kind} {path}:{}", names.join("|"))
            }
            Point::User { path, target: UprobeTarget::Offset(offset), .. } => {
                write!(f, "{kind} {path}+{offset:#x}")
            }
            Point::Clock { frequency } => write!(f, "{kind} {frequency} Hz"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_name_hooks_as_libbpf_reads_them() {
        let parsed = |section| Hook::of_section("f", section).map(|hook| hook.to_string());
        assert_eq!(parsed("tp/signal/signal_generate").unwrap(), "tracepoint signal/signal_generate");
        assert_eq!(parsed("raw_tp/sched_switch").unwrap(), "raw_tracepoint sched_switch");
        assert_eq!(parsed("fexit.s/vfs_read").unwrap(), "fexit vfs_read");
        assert_eq!(parsed("uretprobe//bin/bash:readline").unwrap(), "uretprobe /bin/bash:readline");
        assert_eq!(parsed("kprobe"), None);
        assert_eq!(parsed("xdp/x"), None);
    }
}
