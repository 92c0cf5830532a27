//! Rules of filters as the kernel side takes them: `include/judge.h` is the other half.

use std::collections::BTreeSet;

use model::container::Found;
use model::pushdown::{Number, Place, Prefix, Pushdown, Rule, Split, Test, is_like};

use crate::config::TracersConfig;
use crate::programs::tracers;
use crate::wire::{self, Kind, RuleTest};

/// Rules, tests of paths last, with sets of prefixes still by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lowered {
    /// [`RuleTest::filter`] is a place in `filters`, and [`RuleTest::a`] of a path one in `sets`.
    pub(crate) tests: Vec<RuleTest>,
    /// How many come before the first rule with a path.
    pub(crate) early: usize,
    pub(crate) sets: Vec<BTreeSet<Vec<u8>>>,
    /// What is asked of cgroups; [`RuleTest::a`] is a place here.
    pub(crate) places: Vec<PlaceSet>,
    /// Processes of which descent is asked for; bit n of [`RuleTest::a`] is the one that is there.
    pub(crate) roots: Vec<u32>,
    pub(crate) filters: Vec<String>,
    /// For people.
    pub(crate) splits: Vec<Split>,
}

/// Cgroups of which this is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlaceSet {
    place: Place,
    texts: Option<Vec<Prefix>>,
}

impl PlaceSet {
    /// Whether it is said of the cgroup of that path, whose container is that.
    pub(crate) fn has(&self, cgroup: &str, found: Option<&Found>) -> bool {
        is_like(self.place.of(cgroup, found), self.texts.as_deref())
    }
}

impl Lowered {
    /// For tracers that are stored under these names.
    pub(crate) fn new(pushed: &Pushdown, sections: &TracersConfig) -> Self {
        let mut lowered = Self { splits: pushed.splits.clone(), ..Self::default() };
        let (early, late): (Vec<&Rule>, Vec<&Rule>) =
            pushed.rules.iter().partition(|rule| !rule.tests.iter().any(is_path));
        early.into_iter().for_each(|rule| lowered.add(rule, sections));
        lowered.early = lowered.tests.len();
        late.into_iter().for_each(|rule| lowered.add(rule, sections));
        lowered
    }

    fn add(&mut self, rule: &Rule, sections: &TracersConfig) {
        let kinds = kinds(rule, sections);
        let known = self.filters.iter().position(|name| *name == rule.filter);
        let filter = known.unwrap_or_else(|| {
            self.filters.push(rule.filter.clone());
            self.filters.len() - 1
        });
        let first = self.tests.len();
        for test in &rule.tests {
            if let Some(test) = self.test(test) {
                self.tests.push(RuleTest { kinds, filter: filter as u32, ..test });
            }
        }
        // Of tracers' names alone: what holds for each number.
        if self.tests.len() == first {
            let always =
                RuleTest { field: wire::FIELD_PID, b: i64::MAX.cast_unsigned(), ..RuleTest::default() };
            self.tests.push(RuleTest { kinds, filter: filter as u32, ..always });
        }
        if let Some(last) = self.tests.last_mut() {
            last.last = 1;
        }
    }

    fn test(&mut self, test: &Test) -> Option<RuleTest> {
        Some(match test {
            Test::Tracer { .. } => return None,
            Test::Number { number, low, high, not } => RuleTest {
                field: field(*number),
                a: low.cast_unsigned(),
                b: high.cast_unsigned(),
                negate: u32::from(*not),
                ..RuleTest::default()
            },
            Test::Comm { text, whole, not } => comm(text, *whole, *not),
            Test::Place { place, texts, not } => {
                self.places.push(PlaceSet { place: *place, texts: texts.clone() });
                let set = self.places.len() as u64 - 1;
                let negate = u32::from(*not);
                RuleTest { field: wire::FIELD_PLACE, a: set, negate, ..RuleTest::default() }
            }
            Test::Tree { pid, not } => {
                let known = self.roots.iter().position(|root| root == pid);
                let root = known.unwrap_or_else(|| {
                    self.roots.push(*pid);
                    self.roots.len() - 1
                });
                let negate = u32::from(*not);
                RuleTest { field: wire::FIELD_TREE, a: 1 << root, negate, ..RuleTest::default() }
            }
            Test::Path { prefixes, not } => {
                self.sets.push(prefixes.iter().map(key).collect());
                let set = self.sets.len() as u64 - 1;
                let negate = u32::from(*not);
                RuleTest { field: wire::FIELD_PATH, a: set, negate, ..RuleTest::default() }
            }
        })
    }
}

fn is_path(test: &Test) -> bool {
    matches!(test, Test::Path { .. })
}

/// The path that is walked in the kernel becomes the row's `fname`.
fn has_path(kind: Kind) -> bool {
    kind == Kind::Open || (Kind::Rename as u32..=Kind::Mount as u32).contains(&(kind as u32))
}

/// Tracers that a rule is for, as bits.
fn kinds(rule: &Rule, sections: &TracersConfig) -> u64 {
    let by_path = rule.tests.iter().any(is_path);
    let of = tracers().filter(|tracer| {
        let name = sections.stored_as(tracer.name);
        let is = |test: &Test| match test {
            Test::Tracer { name: wanted, not } => (wanted == name.as_str()) != *not,
            _ => true,
        };
        // Sums over time: what a record says was not so for all that it sums up.
        tracer.kind != Kind::Usage
            && (!by_path || has_path(tracer.kind))
            && (rule.tracers.is_empty() || rule.tracers.contains(&name))
            && rule.tests.iter().all(is)
    });
    of.fold(0, |bits, tracer| bits | 1 << tracer.kind as u32)
}

fn field(number: Number) -> u32 {
    match number {
        Number::Pid => wire::FIELD_PID,
        Number::Tid => wire::FIELD_TID,
        Number::Ppid => wire::FIELD_PPID,
        Number::Uid => wire::FIELD_UID,
        Number::Gid => wire::FIELD_GID,
        Number::CgroupId => wire::FIELD_CGROUP,
        Number::PidNs => wire::FIELD_PID_NS,
        Number::MntNs => wire::FIELD_MNT_NS,
        Number::Ret => wire::FIELD_RET,
    }
}

/// The NUL behind a whole name counts; what is behind that does not.
fn comm(text: &str, whole: bool, not: bool) -> RuleTest {
    let (mut name, mut mask) = ([0_u8; 16], [0_u8; 16]);
    name[..text.len()].copy_from_slice(text.as_bytes());
    mask[..text.len() + usize::from(whole)].fill(0xff);
    let half =
        |bytes: &[u8; 16], at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[8 * at + byte]));
    RuleTest {
        field: wire::FIELD_COMM,
        a: half(&name, 0),
        b: half(&name, 1),
        c: half(&mask, 0),
        d: half(&mask, 1),
        negate: u32::from(not),
        ..RuleTest::default()
    }
}

fn key(prefix: &Prefix) -> Vec<u8> {
    let mut bytes = prefix.text.clone().into_bytes();
    bytes.extend(prefix.whole.then_some(0));
    bytes
}
