//! Maps of the filter rules, and how rules change while programs read them: the last step before the kernel of the way that
//! `expression/src/pushdown/mod.rs` draws.
//!
//! A rule is a series of tests. The tests of all rules in force lie in one of two banks of map `tests`; programs find the
//! bank in one field of map `settings`. New rules are written to the other bank, with the sets of path prefixes and cgroups
//! they test, and then the field is changed in one write. A program sees either all the old rules or all the new ones.
//!
//! ```text
//!  settings.rules ──▶ tests[0..256]    bank 0: rules in force      sets: bits  0..31 of path_sets, cgroup_sets
//!                     tests[256..512]  bank 1: written, not in use sets: bits 32..63
//!  one write:
//!  settings.rules ──▶ bank 1
//! ```
//!
//! A value in maps `path_sets` and `cgroup_sets` holds the bits of both banks, so one lookup serves old and new rules.

use std::collections::{BTreeMap, BTreeSet};

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, MapError, PerCpuArray};
use model::ProcessTable;

use super::cgroup_sets::{CgroupSets, SETS, bit};
use super::maps::map;
use super::trees::Trees;
use crate::errors::LoadError;
use crate::kernel::FilterRules;
use crate::lowered::Lowered;
use crate::wire::{FILTER_SLOTS, KEY_LIMIT, RuleField, RuleTest, Settings, SystemFolders, TEST_BANK};

/// Name under which filters beyond the number of slots are counted together.
const OTHERS: &str = "(others)";

/// The maps of filter rules, and what was written to them.
pub(super) struct RuleMaps {
    tests: Array<MapData, RuleTest>,
    filtered_by: PerCpuArray<MapData, u64>,
    paths: LpmTrie<MapData, [u8; KEY_LIMIT], u64>,
    cgroup_sets: CgroupSets,
    trees: Trees,
    system_folders: Array<MapData, SystemFolders>,
    /// Prefixes in the trie, by bank.
    present: [BTreeSet<Vec<u8>>; 2],
    /// The bank in force.
    bank: usize,
    /// Filters by counter slot: a filter keeps its slot while the maps exist.
    slots: Vec<String>,
    /// Counts by slot that are due to an earlier agent.
    before: Vec<u64>,
}

impl RuleMaps {
    /// Takes the maps of an object that was just loaded.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self {
            tests: map(ebpf, "tests")?,
            filtered_by: map(ebpf, "filtered_by")?,
            paths: map(ebpf, "path_sets")?,
            cgroup_sets: CgroupSets::new(ebpf)?,
            trees: Trees::new(ebpf)?,
            system_folders: map(ebpf, "system_folders")?,
            present: Default::default(),
            bank: 0,
            slots: Vec::new(),
            before: Vec::new(),
        })
    }

    /// Takes over pinned maps, in which the rules of an earlier agent are in force as its settings say.
    pub(super) fn resume(&mut self, settings: &Settings) {
        self.bank = usize::from(settings.rules & 0xffff != 0);
        let bytes = |key: Key<[u8; KEY_LIMIT]>| {
            let (length, data) = (key.prefix_len() as usize / 8, key.data());
            data[..length.min(KEY_LIMIT)].to_vec()
        };
        let keys: Vec<_> = self.paths.keys().filter_map(Result::ok).collect();
        self.present[self.bank] = keys.into_iter().map(bytes).collect();
        self.cgroup_sets.clear();
        self.trees.clear();
        self.before = (0..FILTER_SLOTS).map(|slot| self.counted(slot)).collect();
    }

    /// Writes rules to the bank that is not in use, and switches to it in `settings`.
    fn switch(
        &mut self,
        lowered: &Lowered,
        table: &ProcessTable,
        settings: &mut Settings,
    ) -> Result<(), MapError> {
        let next = 1 - self.bank;
        self.put_paths(&lowered.sets, next)?;
        self.cgroup_sets.put(&lowered.cgroup_sets, next, table);
        settings.trees = self.trees.put(&lowered.roots, table);
        self.system_folders.set(0, SystemFolders::new(&lowered.system_folders), 0)?;
        let [open, usage] =
            lowered.system_filters.each_ref().map(|name| name.as_deref().map(|name| self.slot(name)));
        settings.set_system_filters(open, usage);
        for (at, test) in lowered.tests.iter().enumerate().take(TEST_BANK) {
            let name = lowered.filters.get(test.filter as usize).map_or(OTHERS, String::as_str);
            let mut test = RuleTest { filter: self.slot(name) as u32, ..*test };
            if test.is_of(RuleField::Path) || test.is_of(RuleField::CgroupSet) {
                test.a = bit(next, test.a as usize);
            } else if test.is_of(RuleField::Tree) {
                test.b = settings.trees;
            }
            self.tests.set((next * TEST_BANK + at) as u32, test, 0)?;
        }
        let paths = lowered.tests.iter().filter(|test| test.is_of(RuleField::Path)).count();
        settings.set_rules(next * TEST_BANK, lowered.early, lowered.tests.len().min(TEST_BANK), paths);
        self.bank = next;
        Ok(())
    }

    /// Writes the sets of prefixes of bank `next` to the trie, which then has the prefixes of both banks. The value of a
    /// prefix has the bits of all sets that contain it or a prefix of it. Prefixes of the bank's former rules are removed.
    fn put_paths(&mut self, sets: &[BTreeSet<Vec<u8>>], next: usize) -> Result<(), MapError> {
        let wanted: BTreeSet<Vec<u8>> = sets.iter().flatten().cloned().collect();
        let held: BTreeMap<&Vec<u8>, u64> =
            self.present[1 - next].iter().map(|prefix| (prefix, self.sets_of(prefix))).collect();
        let mut values: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for prefix in wanted.iter().chain(&self.present[1 - next]) {
            let mine = sets.iter().take(SETS).enumerate().filter(|(_, set)| begins_in(prefix, set));
            let mine = mine.fold(0, |bits, (number, _)| bits | bit(next, number));
            // Bits of the other bank: those of its longest matching prefix, as a lookup finds them.
            let theirs = held.iter().filter(|(other, _)| prefix.starts_with(other.as_slice()));
            let theirs =
                theirs.max_by_key(|(other, _)| other.len()).map_or(0, |(_, bits)| bits & bank_bits(1 - next));
            values.insert(prefix.clone(), mine | theirs);
        }
        let gone: Vec<_> =
            self.present[next].iter().filter(|prefix| !values.contains_key(*prefix)).cloned().collect();
        // Longer prefixes first, so that a concurrent lookup never misses bits of the bank in force.
        for (prefix, bits) in values.iter().rev() {
            self.paths.insert(&trie_key(prefix), *bits, 0)?;
        }
        for prefix in gone {
            self.paths.remove(&trie_key(&prefix))?;
        }
        self.present[next] = wanted;
        Ok(())
    }

    fn sets_of(&self, prefix: &[u8]) -> u64 {
        self.paths.get(&trie_key(prefix), 0).unwrap_or_default()
    }

    fn slot(&mut self, name: &str) -> usize {
        let known = self.slots.iter().position(|slot| slot == name);
        known.unwrap_or_else(|| {
            if self.slots.len() + 1 < FILTER_SLOTS {
                self.slots.push(name.to_owned());
                self.slots.len() - 1
            } else {
                FILTER_SLOTS - 1
            }
        })
    }

    fn counted(&self, slot: usize) -> u64 {
        self.filtered_by.get(&(slot as u32), 0).map_or(0, |cpus| cpus.iter().sum())
    }
}

impl FilterRules for RuleMaps {
    fn put(&mut self, rules: &Lowered, table: &ProcessTable, settings: &mut Settings) {
        if let Err(cause) = self.switch(rules, table, settings) {
            // Without rules in the kernel, the collector drops the records.
            tracing::error!(%cause, "filter rules can't be written to the kernel");
            settings.set_rules(0, 0, 0, 0);
            settings.set_system_filters(None, None);
        }
    }

    fn learn(&mut self, table: &ProcessTable) {
        self.cgroup_sets.learn_from(table);
        self.trees.learn_from(table);
    }

    fn filtered_by(&self) -> BTreeMap<String, u64> {
        let since = |slot: usize| self.counted(slot) - self.before.get(slot).copied().unwrap_or_default();
        let own = self.slots.iter().enumerate().map(|(slot, name)| (name.clone(), since(slot)));
        let others = (OTHERS.to_owned(), since(FILTER_SLOTS - 1));
        own.chain([others]).filter(|(_, count)| *count > 0).collect()
    }
}

fn bank_bits(bank: usize) -> u64 {
    u64::from(u32::MAX) << (SETS * bank)
}

/// Returns whether a prefix of `prefix` is in the set.
fn begins_in(prefix: &[u8], set: &BTreeSet<Vec<u8>>) -> bool {
    set.iter().any(|other| prefix.starts_with(other))
}

fn trie_key(prefix: &[u8]) -> Key<[u8; KEY_LIMIT]> {
    let mut bytes = [0; KEY_LIMIT];
    bytes[..prefix.len()].copy_from_slice(prefix);
    Key::new(8 * prefix.len() as u32, bytes)
}
