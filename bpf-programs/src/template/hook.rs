//! Hooks: from the configuration, or from the names of the object's sections.

use std::fmt;

use super::config::{HookConfig, HookType};

/// A hook a program of a template is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Where.
    pub point: Point,
    /// The program's function; `None`: the only one there is for such a hook.
    pub program: Option<String>,
    /// The tracer can do without it.
    pub optional: bool,
}

/// Where a program can be attached. Names that are lists are tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// `type = "tracepoint"`
    Tracepoint {
        /// Folder below `events` in tracefs.
        category: String,
        /// Names.
        names: Vec<String>,
    },
    /// Hooks that are known by a name alone.
    Named {
        /// Which of them.
        kind: HookType,
        /// Names.
        names: Vec<String>,
    },
    /// `uprobe` and `uretprobe`
    User {
        /// At the function's return.
        returns: bool,
        /// Program or library.
        path: String,
        /// Where in it.
        place: Place,
        /// Only in this process.
        pid: Option<u32>,
    },
    /// `type = "perf_event"`
    Clock {
        /// Samples a second, on each CPU.
        frequency: u64,
    },
}

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the first of these functions that is there.
    Functions(Vec<String>),
    /// At this offset in the file.
    Offset(u64),
}

impl Hook {
    /// The hook that a part of the configuration asks for; it must be valid.
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
                place: config.offset.map_or_else(|| Place::Functions(names(&config.function)), Place::Offset),
                pid: config.pid,
            },
            HookType::PerfEvent => Point::Clock { frequency: config.frequency.unwrap_or_default() },
            kind => Point::Named { kind, names: names(&config.function) },
        };
        Self { point, program: config.program.clone(), optional: config.optional }
    }

    /// The hook that a program's section names in full (`tracepoint/signal/signal_generate`), if it does.
    pub fn of_section(program: &str, section: &str) -> Option<Self> {
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
                    place: Place::Functions(vec![function.to_owned()]),
                    pid: None,
                }
            }
            HookType::PerfEvent => return None,
            kind => named(kind),
        };
        Some(Self { point, program: Some(program.to_owned()), optional: false })
    }

    /// What kind of hook.
    pub fn kind(&self) -> HookType {
        match &self.point {
            Point::Tracepoint { .. } => HookType::Tracepoint,
            Point::Named { kind, .. } => *kind,
            Point::User { returns: false, .. } => HookType::Uprobe,
            Point::User { returns: true, .. } => HookType::Uretprobe,
            Point::Clock { .. } => HookType::PerfEvent,
        }
    }
}

/// The kind of hook that programs in sections of this first part are for, if any.
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
            Point::User { path, place: Place::Functions(names), .. } => {
                write!(f, "{kind} {path}:{}", names.join("|"))
            }
            Point::User { path, place: Place::Offset(offset), .. } => write!(f, "{kind} {path}+{offset:#x}"),
            Point::Clock { frequency } => write!(f, "{kind} {frequency} Hz"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_tell_hooks_as_libbpf_reads_them() {
        let told = |section| Hook::of_section("f", section).map(|hook| hook.to_string());
        assert_eq!(told("tp/signal/signal_generate").unwrap(), "tracepoint signal/signal_generate");
        assert_eq!(told("raw_tp/sched_switch").unwrap(), "raw_tracepoint sched_switch");
        assert_eq!(told("fexit.s/vfs_read").unwrap(), "fexit vfs_read");
        assert_eq!(told("uretprobe//bin/bash:readline").unwrap(), "uretprobe /bin/bash:readline");
        assert_eq!(told("kprobe"), None);
        assert_eq!(told("xdp/x"), None);
    }
}
