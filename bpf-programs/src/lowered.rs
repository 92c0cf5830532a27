//! Compiles filter rules into the kernel's form; `include/rules.h` evaluates them.
//!
//! A step of the way that `expression/src/pushdown/mod.rs` draws. Tests on paths are put last, because a path is walked
//! only if all other tests of earlier rules leave the record undecided.

use std::collections::BTreeSet;

use model::container::Found;
use model::pushdown::{CgroupField, Number, Prefix, Pushdown, Rule, Split, Test, is_like};

use crate::catalog::tracers;
use crate::config::TracersConfig;
use crate::wire::{Kind, RuleField, RuleTest, SystemFolder};

/// Rules as numbered tests, those with paths last, with the sets that the tests refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lowered {
    /// The tests of all rules; [`RuleTest::filter`] is an index into `filters`.
    pub(crate) tests: Vec<RuleTest>,
    /// Number of tests before the first rule with a path.
    pub(crate) early: usize,
    /// Sets of path prefixes; [`RuleTest::a`] of a test on a path is an index into them.
    pub(crate) sets: Vec<BTreeSet<Vec<u8>>>,
    /// Sets of cgroups; [`RuleTest::a`] of a test on a cgroup is an index into them.
    pub(crate) cgroup_sets: Vec<CgroupSet>,
    /// Processes that filters on ancestors name; bit n of [`RuleTest::a`] stands for the nth of them.
    pub(crate) roots: Vec<u32>,
    pub(crate) filters: Vec<String>,
    /// Names of the filters that drop opens and usage of files of the system.
    pub(crate) system_filters: [Option<String>; 2],
    /// Folders by which files of the system are recognised.
    pub(crate) system_folders: Vec<SystemFolder>,
    /// Description for `status`: which part of each filter is decided in the kernel.
    pub(crate) splits: Vec<Split>,
}

/// The cgroups with one of these texts in a field, or without the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CgroupSet {
    field: CgroupField,
    texts: Option<Vec<Prefix>>,
}

impl CgroupSet {
    /// Returns whether the set contains a cgroup, given its path and its container.
    pub(crate) fn has(&self, cgroup: &str, found: Option<&Found>) -> bool {
        is_like(self.field.of(cgroup, found), self.texts.as_deref())
    }
}

impl Lowered {
    /// Compiles the rules for tracers with these sections, which have the names that rows are stored under.
    pub(crate) fn new(pushed: &Pushdown, sections: &TracersConfig) -> Self {
        let mut lowered = Self { splits: pushed.splits.clone(), ..Self::default() };
        let (early, late): (Vec<&Rule>, Vec<&Rule>) =
            pushed.rules.iter().partition(|rule| !rule.tests.iter().any(is_path));
        early.into_iter().for_each(|rule| lowered.add(rule, sections));
        lowered.early = lowered.tests.len();
        late.into_iter().for_each(|rule| lowered.add(rule, sections));
        let filter = |tracer| pushed.system.filter_of(&sections.stored_as(tracer)).map(str::to_owned);
        lowered.system_filters = ["open", "usage"].map(filter);
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
        // A rule on tracers' names alone gets a test that is always true.
        if self.tests.len() == first {
            let always = RuleTest { b: i64::MAX.cast_unsigned(), ..RuleTest::from(RuleField::Pid) };
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
                a: low.cast_unsigned(),
                b: high.cast_unsigned(),
                negate: u32::from(*not),
                ..RuleTest::from(field(*number))
            },
            Test::Comm { text, whole, not } => comm(text, *whole, *not),
            Test::CgroupField { field, texts, not } => {
                self.cgroup_sets.push(CgroupSet { field: *field, texts: texts.clone() });
                let set = self.cgroup_sets.len() as u64 - 1;
                let negate = u32::from(*not);
                RuleTest { a: set, negate, ..RuleTest::from(RuleField::CgroupSet) }
            }
            Test::Tree { pid, not } => {
                let known = self.roots.iter().position(|root| root == pid);
                let root = known.unwrap_or_else(|| {
                    self.roots.push(*pid);
                    self.roots.len() - 1
                });
                let negate = u32::from(*not);
                RuleTest { a: 1 << root, negate, ..RuleTest::from(RuleField::Tree) }
            }
            Test::Path { prefixes, not } => {
                self.sets.push(prefixes.iter().map(key).collect());
                let set = self.sets.len() as u64 - 1;
                let negate = u32::from(*not);
                RuleTest { a: set, negate, ..RuleTest::from(RuleField::Path) }
            }
        })
    }
}

fn is_path(test: &Test) -> bool {
    matches!(test, Test::Path { .. })
}

/// Returns the tracers that a rule applies to, one bit each.
fn kinds(rule: &Rule, sections: &TracersConfig) -> u64 {
    let by_path = rule.tests.iter().any(is_path);
    let of = tracers().filter(|tracer| {
        let name = sections.stored_as(tracer.name);
        let is = |test: &Test| match test {
            Test::Tracer { name: wanted, not } => (wanted == name.as_str()) != *not,
            _ => true,
        };
        // A usage record is a sum over time: its fields need not hold for every call in it.
        tracer.kind != Kind::Usage
            && (!by_path || tracer.kind.family().has_path())
            && (rule.tracers.is_empty() || rule.tracers.contains(&name))
            && rule.tests.iter().all(is)
    });
    of.fold(0, |bits, tracer| bits | 1 << tracer.kind as u32)
}

fn field(number: Number) -> RuleField {
    match number {
        Number::Pid => RuleField::Pid,
        Number::Tid => RuleField::Tid,
        Number::Ppid => RuleField::Ppid,
        Number::Uid => RuleField::Uid,
        Number::Gid => RuleField::Gid,
        Number::CgroupId => RuleField::Cgroup,
        Number::PidNs => RuleField::PidNs,
        Number::MntNs => RuleField::MntNs,
        Number::Ret => RuleField::Ret,
    }
}

/// Returns a test of the command name. For a whole name the NUL behind it is compared, too; bytes after that are not.
fn comm(text: &str, whole: bool, not: bool) -> RuleTest {
    let (mut name, mut mask) = ([0_u8; 16], [0_u8; 16]);
    name[..text.len()].copy_from_slice(text.as_bytes());
    mask[..text.len() + usize::from(whole)].fill(0xff);
    let half =
        |bytes: &[u8; 16], at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[8 * at + byte]));
    RuleTest {
        a: half(&name, 0),
        b: half(&name, 1),
        c: half(&mask, 0),
        d: half(&mask, 1),
        negate: u32::from(not),
        ..RuleTest::from(RuleField::Comm)
    }
}

fn key(prefix: &Prefix) -> Vec<u8> {
    let mut bytes = prefix.text.clone().into_bytes();
    bytes.extend(prefix.whole.then_some(0));
    bytes
}
