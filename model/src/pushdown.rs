//! Push-down: the part of the filters that the kernel can apply itself, before a record is written to the ring.
//!
//! A [`Rule`] is a list of tests that must all hold. A rule matches only records that its filter certainly drops, so
//! dropping them early changes nothing but the cost; everything else is left to the collector, which applies all
//! filters again to every record it gets. A filter that needs more than the kernel's limits below is split ([`Split`]),
//! so that users can see what runs where.
//!
//! These are the types that travel; the way from a configured filter to the kernel is drawn in `expression/src/pushdown/mod.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::container::Found;
use crate::extended::errno_name;
use crate::{SystemFiles, TracerName};

/// Largest number of tests in all rules together.
pub const MAX_TESTS: usize = 256;
/// Largest number of path tests among them.
pub const MAX_PATH_TESTS: usize = 32;
/// Largest number of cgroup and container tests among them.
pub const MAX_CGROUP_TESTS: usize = 32;
/// Largest number of ancestry tests among them.
pub const MAX_TREE_TESTS: usize = 32;
/// Largest number of path prefixes in all tests together.
pub const MAX_PREFIXES: usize = 4000;
/// Largest number of path bytes that are compared, including the NUL if the whole path must match.
pub const MAX_PREFIX: usize = 256;
/// Largest number of bytes in a command name.
const MAX_COMM: usize = 15;

/// A numeric field of a kernel record. Every record has it, except [`Number::Ret`].
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
    /// Returns the field that rows have under this name.
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

    /// Returns the field's name in a row.
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

/// A text to compare with: a prefix, or the whole value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The text as it appears in a row.
    pub text: String,
    /// True if the whole value must be equal.
    pub whole: bool,
}

/// A text field of a row that follows from the process's cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupField {
    Cgroup,
    ContainerId,
    ContainerRuntime,
    PodUid,
}

impl CgroupField {
    /// Returns the field that rows have under this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Cgroup, Self::ContainerId, Self::ContainerRuntime, Self::PodUid];
        all.into_iter().find(|field| field.name() == name)
    }

    /// Returns the field's name in a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::ContainerId => "container_id",
            Self::ContainerRuntime => "container_runtime",
            Self::PodUid => "pod_uid",
        }
    }

    /// Returns the field's value for a cgroup path and the container found in it.
    pub fn of<'a>(self, cgroup: &'a str, found: Option<&'a Found>) -> Option<&'a str> {
        match self {
            Self::Cgroup => Some(cgroup),
            Self::ContainerId => found.map(|found| &*found.id),
            Self::ContainerRuntime => found.and_then(|found| found.runtime),
            Self::PodUid => found.and_then(|found| found.pod_uid.as_deref()),
        }
    }
}

/// A condition on a record. With `not`, the value must be known and must not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// A number is within an inclusive range.
    Number {
        /// The field to test.
        number: Number,
        /// Smallest matching value.
        low: i64,
        /// Largest matching value.
        high: i64,
        /// Inverts the test.
        not: bool,
    },
    /// The command name begins with a text, or equals it.
    Comm {
        /// Text to compare with.
        text: String,
        /// True if the whole name must be equal.
        whole: bool,
        /// Inverts the test.
        not: bool,
    },
    /// The path (`fname`) matches one of the prefixes.
    Path {
        /// Prefixes, one of which must match.
        prefixes: Vec<Prefix>,
        /// Inverts the test.
        not: bool,
    },
    /// A cgroup field matches one of the texts.
    CgroupField {
        /// The field to test.
        field: CgroupField,
        /// Texts to compare with; [`None`] matches a missing value.
        texts: Option<Vec<Prefix>>,
        /// Inverts the test; a missing value matches no text.
        not: bool,
    },
    /// The process is the one with this pid or a descendant of it.
    Tree {
        /// Pid of the ancestor.
        pid: u32,
        /// Inverts the test.
        not: bool,
    },
    /// The record is from the tracer of this name.
    Tracer {
        /// Name of the tracer.
        name: String,
        /// Inverts the test.
        not: bool,
    },
}

impl Test {
    /// Creates a test that a number equals `is`.
    pub fn number(number: Number, is: i64) -> Self {
        Self::Number { number, low: is, high: is, not: false }
    }

    /// Creates a test that the result is the error of this name; `None` for an unknown name.
    pub fn errno(name: &str) -> Option<Self> {
        let number = (1..4096).find(|number| errno_name(*number).as_deref() == Some(name))?;
        Some(Self::number(Number::Ret, -number))
    }

    /// Creates a test of the command name; `None` if the kernel can't compare it with the same result as the collector.
    pub fn comm(text: &str, whole: bool) -> Option<Self> {
        (is_plain(text) && text.len() <= MAX_COMM).then(|| Self::Comm {
            text: text.to_owned(),
            whole,
            not: false,
        })
    }

    /// Creates a test of the path; `None` if the kernel can't compare it with the same result as the collector.
    pub fn path(text: &str, whole: bool) -> Option<Self> {
        Some(Self::Path { prefixes: vec![Prefix::new(text, whole)?], not: false })
    }

    /// Creates a test of a cgroup field.
    pub fn field(field: CgroupField, text: &str, whole: bool) -> Self {
        Self::CgroupField { field, texts: Some(vec![Prefix { text: text.to_owned(), whole }]), not: false }
    }

    /// Creates a test that a cgroup field is missing.
    pub fn missing(field: CgroupField) -> Self {
        Self::CgroupField { field, texts: None, not: false }
    }

    /// Extends this test to hold where it or `other` holds; returns false if one test can't express both.
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

    /// Returns the inverse test, which holds where the value is known and does not match.
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
    /// Creates a prefix; `None` if the kernel can't compare it with the same result as the collector.
    pub fn new(text: &str, whole: bool) -> Option<Self> {
        let fits = text.len() + usize::from(whole) <= MAX_PREFIX;
        (is_plain(text) && fits && text.starts_with('/')).then(|| Self { text: text.to_owned(), whole })
    }
}

/// Returns whether a text matches one of `texts`; if `texts` is `None`, returns whether the text is missing.
pub fn is_like(text: Option<&str>, texts: Option<&[Prefix]>) -> bool {
    let (Some(text), Some(texts)) = (text, texts) else { return text.is_none() && texts.is_none() };
    texts.iter().any(|like| if like.whole { text == like.text } else { text.starts_with(&like.text) })
}

/// Returns whether a text compares equal to the raw bytes. Rows show invalid UTF-8 as backslash escapes, so a text with
/// a backslash may stand for other bytes.
fn is_plain(text: &str) -> bool {
    !text.contains(['\\', '\0'])
}

/// Conditions under which a filter drops a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the filter.
    pub filter: String,
    /// Tracers the rule applies to, by the names their rows are stored under; empty means all.
    pub tracers: BTreeSet<TracerName>,
    /// Tests that must all hold.
    pub tests: Vec<Test>,
}

/// Description of how one filter is split between kernel and collector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Name of the filter.
    pub filter: String,
    /// Rules applied in the kernel, as text.
    pub kernel: Vec<String>,
    /// Part left to the collector; `None` if the kernel decides the whole filter.
    pub collector: Option<String>,
}

/// All rules that the kernel applies, and how each filter is split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushdown {
    /// Rules in the order of the filters.
    pub rules: Vec<Rule>,
    /// Descriptions for users, one for each filter.
    pub splits: Vec<Split>,
    /// Filters that drop what only reads files of the system.
    pub system: SystemFiles,
}

impl Pushdown {
    /// Adds a filter's rules, each a list of tests. Rules beyond the limits are left to the collector. `rest` describes
    /// the part that the collector has to decide in any case.
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
                split.collector.get_or_insert_with(|| "rules beyond the kernel's limits".to_owned());
                continue;
            }
            split.kernel.push(rule.to_string());
            self.rules.push(rule);
        }
        self.splits.push(split);
    }

    /// Adds a filter that drops the reading of files of the system.
    pub fn add_system(
        &mut self,
        filter: &str,
        tracers: &BTreeSet<TracerName>,
        folders: Vec<PathBuf>,
        files: Vec<PathBuf>,
    ) {
        let kernel = vec![self.system.add(filter, tracers, folders, files)];
        self.splits.push(Split { filter: filter.to_owned(), kernel, collector: None });
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
