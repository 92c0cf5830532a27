//! What of the filters the kernel can decide by itself: rules, each of tests that must all hold. A rule holds only for
//! rows that its filter drops for certain; what no rule says is left to the collector, which asks everything again.

#[cfg(feature = "expression")]
mod pattern;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TracerName;
use crate::container::Found;
use crate::extended::errno_name;
#[cfg(feature = "expression")]
pub use pattern::prefixes_of;

/// Tests that all rules together may have.
pub const MAX_TESTS: usize = 256;
/// Tests of paths among them.
pub const MAX_PATH_TESTS: usize = 32;
/// Tests of cgroups and containers among them.
pub const MAX_CGROUP_TESTS: usize = 32;
/// Tests of descent among them.
pub const MAX_TREE_TESTS: usize = 32;
/// Prefixes of all of these.
pub const MAX_PREFIXES: usize = 4000;
/// Bytes of a path that are compared; the NUL behind one that is meant as a whole counts.
pub const MAX_PREFIX: usize = 256;
/// Bytes of a command name.
const MAX_COMM: usize = 15;

/// A number that every kernel record has, or may have ([`Number::Ret`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Pid,
    Tid,
    Ppid,
    Uid,
    Gid,
    CgroupId,
    PidNs,
    MntNs,
    Ret,
}

impl Number {
    /// The one that a row has under this name.
    pub fn named(name: &str) -> Option<Self> {
        const ALL: [Number; 9] = [
            Number::Pid,
            Number::Tid,
            Number::Ppid,
            Number::Uid,
            Number::Gid,
            Number::CgroupId,
            Number::PidNs,
            Number::MntNs,
            Number::Ret,
        ];
        ALL.into_iter().find(|number| number.name() == name)
    }

    /// Its name in a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Tid => "tid",
            Self::Ppid => "ppid",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::CgroupId => "cgroup_id",
            Self::PidNs => "pid_ns",
            Self::MntNs => "mnt_ns",
            Self::Ret => "ret",
        }
    }
}

/// The beginning of a text, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// As in a row.
    pub text: String,
    /// It is all of it.
    pub whole: bool,
}

/// What a row says of its process's cgroup in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupField {
    Cgroup,
    ContainerId,
    ContainerRuntime,
    PodUid,
}

impl CgroupField {
    /// The one that a row has under this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Cgroup, Self::ContainerId, Self::ContainerRuntime, Self::PodUid];
        all.into_iter().find(|field| field.name() == name)
    }

    /// Its name in a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::ContainerId => "container_id",
            Self::ContainerRuntime => "container_runtime",
            Self::PodUid => "pod_uid",
        }
    }

    /// What it is in the cgroup of that path, whose container is that.
    pub fn of<'a>(self, cgroup: &'a str, found: Option<&'a Found>) -> Option<&'a str> {
        match self {
            Self::Cgroup => Some(cgroup),
            Self::ContainerId => found.map(|found| &*found.id),
            Self::ContainerRuntime => found.and_then(|found| found.runtime),
            Self::PodUid => found.and_then(|found| found.pod_uid.as_deref()),
        }
    }
}

/// Something asked of a record. With `not`: that it is known and not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// A number lies between these.
    Number {
        /// Which.
        number: Number,
        /// Least.
        low: i64,
        /// Largest.
        high: i64,
        /// It does not.
        not: bool,
    },
    /// The command name begins so, or is this as a `whole`.
    Comm {
        /// Text.
        text: String,
        /// All of it.
        whole: bool,
        /// It does not.
        not: bool,
    },
    /// The path (`fname`) begins like one of these.
    Path {
        /// Which.
        prefixes: Vec<Prefix>,
        /// It does not.
        not: bool,
    },
    /// What is said of the cgroup begins like one of these.
    CgroupField {
        /// Which.
        field: CgroupField,
        /// Like what; [`None`]: it is missing.
        texts: Option<Vec<Prefix>>,
        /// It does not; what is missing begins like nothing.
        not: bool,
    },
    /// The process descends of the one of this number, or is it.
    Tree {
        /// Which.
        pid: u32,
        /// It does not.
        not: bool,
    },
    /// The record is of the tracer of this name.
    Tracer {
        /// Which.
        name: String,
        /// It is not.
        not: bool,
    },
}

impl Test {
    /// A number is this one.
    pub fn number(number: Number, is: i64) -> Self {
        Self::Number { number, low: is, high: is, not: false }
    }

    /// The result is the error of this name.
    pub fn errno(name: &str) -> Option<Self> {
        let number = (1..4096).find(|number| errno_name(*number).as_deref() == Some(name))?;
        Some(Self::number(Number::Ret, -number))
    }

    /// The command name; `None` if the kernel can't compare it as a row does.
    pub fn comm(text: &str, whole: bool) -> Option<Self> {
        (is_plain(text) && text.len() <= MAX_COMM).then(|| Self::Comm {
            text: text.to_owned(),
            whole,
            not: false,
        })
    }

    /// The path; `None` if the kernel can't compare it as a row does.
    pub fn path(text: &str, whole: bool) -> Option<Self> {
        Some(Self::Path { prefixes: vec![Prefix::new(text, whole)?], not: false })
    }

    /// What is said of the cgroup.
    pub fn field(field: CgroupField, text: &str, whole: bool) -> Self {
        Self::CgroupField { field, texts: Some(vec![Prefix { text: text.to_owned(), whole }]), not: false }
    }

    /// What is said of the cgroup is missing.
    pub fn missing(field: CgroupField) -> Self {
        Self::CgroupField { field, texts: None, not: false }
    }

    /// Becomes a test that holds where it or the other one does, if there is one for that.
    pub fn take(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path { prefixes, not: false }, Self::Path { prefixes: more, not: false }) => {
                prefixes.extend_from_slice(more);
                true
            }
            (
                Self::CgroupField { field, texts: Some(texts), not: false },
                Self::CgroupField { field: other, texts: Some(more), not: false },
            ) if field == other => {
                texts.extend_from_slice(more);
                true
            }
            _ => false,
        }
    }

    /// The opposite, of what is known.
    pub fn negated(mut self) -> Self {
        match &mut self {
            Self::Number { not, .. }
            | Self::Comm { not, .. }
            | Self::Path { not, .. }
            | Self::CgroupField { not, .. }
            | Self::Tree { not, .. }
            | Self::Tracer { not, .. } => {
                *not = !*not;
            }
        }
        self
    }
}

impl Prefix {
    /// `None` if the kernel can't compare it as a row does.
    pub fn new(text: &str, whole: bool) -> Option<Self> {
        let fits = text.len() + usize::from(whole) <= MAX_PREFIX;
        (is_plain(text) && fits && text.starts_with('/')).then(|| Self { text: text.to_owned(), whole })
    }
}

/// Whether a text that may be missing is one of these, or begins like one; of none, whether it is missing.
pub fn is_like(text: Option<&str>, texts: Option<&[Prefix]>) -> bool {
    let (Some(text), Some(texts)) = (text, texts) else { return text.is_none() && texts.is_none() };
    texts.iter().any(|like| if like.whole { text == like.text } else { text.starts_with(&like.text) })
}

/// Bytes that are no UTF-8 are shown with a backslash: text that has one could be such.
fn is_plain(text: &str) -> bool {
    !text.contains(['\\', '\0'])
}

/// What holds for rows that a filter drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The filter's name.
    pub filter: String,
    /// The tracers it is for, by the names they are stored under; empty: all.
    pub tracers: BTreeSet<TracerName>,
    /// All of these hold.
    pub tests: Vec<Test>,
}

/// How one filter is split, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Its name.
    pub filter: String,
    /// What the kernel drops.
    pub kernel: Vec<String>,
    /// What is left to the collector; nothing, if the kernel decides all of it.
    pub collector: Option<String>,
}

/// All filters, as far as the kernel can apply them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushdown {
    /// In the filters' order.
    pub rules: Vec<Rule>,
    /// For people.
    pub splits: Vec<Split>,
}

impl Pushdown {
    /// Adds a filter's rules: each is a list of tests. What there is no room for is left to the collector. `rest` is what
    /// the collector has to decide in any case.
    pub fn add(
        &mut self,
        filter: &str,
        tracers: &BTreeSet<TracerName>,
        rules: Vec<Vec<Test>>,
        rest: Option<String>,
    ) {
        let mut split = Split { filter: filter.to_owned(), kernel: Vec::new(), collector: rest };
        for tests in rules {
            let rule = Rule { filter: filter.to_owned(), tracers: tracers.clone(), tests };
            if rule.tests.is_empty() || !self.has_room_for(&rule) {
                split.collector.get_or_insert_with(|| "what the kernel has no room for".to_owned());
                continue;
            }
            split.kernel.push(rule.to_string());
            self.rules.push(rule);
        }
        self.splits.push(split);
    }

    fn has_room_for(&self, rule: &Rule) -> bool {
        let all = || self.rules.iter().chain([rule]).flat_map(|rule| &rule.tests);
        let prefixes = |test: &Test| if let Test::Path { prefixes, .. } = test { prefixes.len() } else { 0 };
        let fields = all().filter(|test| matches!(test, Test::CgroupField { .. })).count();
        let trees = all().filter(|test| matches!(test, Test::Tree { .. })).count();
        all().count() <= MAX_TESTS
            && trees <= MAX_TREE_TESTS
            && fields <= MAX_CGROUP_TESTS
            && all().filter(|test| prefixes(test) > 0).count() <= MAX_PATH_TESTS
            && all().map(prefixes).sum::<usize>() <= MAX_PREFIXES
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (field, test) in self.tests.iter().enumerate() {
            write!(f, "{}{test}", if field == 0 { "" } else { " && " })?;
        }
        Ok(())
    }
}

fn shown(prefixes: &[Prefix]) -> String {
    let one = |prefix: &Prefix| format!("{}{}", prefix.text, if prefix.whole { "" } else { "*" });
    prefixes.iter().map(one).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |not: bool| if not { "!=" } else { "==" };
        let bang = |not: bool| if not { "!" } else { "" };
        match self {
            Self::Number { number, low, high, not } => {
                let name = number.name();
                match (*low, *high, *not) {
                    (low, high, not) if low == high => write!(f, "{name} {} {low}", sign(not)),
                    (i64::MIN, high, false) => write!(f, "{name} <= {high}"),
                    (i64::MIN, high, true) => write!(f, "{name} > {high}"),
                    (low, i64::MAX, false) => write!(f, "{name} >= {low}"),
                    (low, i64::MAX, true) => write!(f, "{name} < {low}"),
                    (low, high, not) => write!(f, "{}({name} in {low}..{high})", bang(not)),
                }
            }
            Self::Comm { text, whole: true, not } => write!(f, "comm {} {text:?}", sign(*not)),
            Self::Comm { text, not, .. } => write!(f, "{}comm.startsWith({text:?})", bang(*not)),
            Self::CgroupField { field, texts: None, not } => {
                write!(f, "{} {} null", field.name(), sign(*not))
            }
            Self::CgroupField { field, texts: Some(texts), not } => {
                write!(f, "{} {}in {}", field.name(), if *not { "not " } else { "" }, shown(texts))
            }
            Self::Tree { pid, not } => write!(f, "{}{pid} in ancestors", bang(*not)),
            Self::Tracer { name, not } => write!(f, "tracer {} {name:?}", sign(*not)),
            Self::Path { prefixes, not } => {
                write!(f, "fname {}in {}", if *not { "not " } else { "" }, shown(prefixes))
            }
        }
    }
}
