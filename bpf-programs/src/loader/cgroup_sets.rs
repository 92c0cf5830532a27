//! Filters on a cgroup's path, container or pod, in the kernel: for each cgroup with a known path the agent computes which
//! [`CgroupSet`]s it is in and writes them, as bits, to map `cgroup_sets`. Programs look the bits up by the cgroup's id.

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use model::{Cgroup, CgroupId, ProcessTable};

use super::maps::map;
use crate::errors::LoadError;
use crate::lowered::CgroupSet;
use crate::wire::CgroupKey;

/// Number of sets of cgroups, and of paths, per bank of rules.
pub(super) const SETS: usize = 32;

/// Returns the bit of a set in the values of maps.
pub(super) fn bit(bank: usize, set: usize) -> u64 {
    1 << (SETS * bank + set.min(SETS - 1))
}

/// Map `cgroup_sets`, and the sets that its bits stand for.
pub(super) struct CgroupSets {
    map: HashMap<MapData, CgroupKey, u64>,
    /// Number of the process table's cgroups that have been written so far.
    known: u64,
    /// The sets of each bank of rules.
    sets: [Vec<CgroupSet>; 2],
}

impl CgroupSets {
    /// Takes the map of an object that was just loaded.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self { map: map(ebpf, "cgroup_sets")?, known: 0, sets: Default::default() })
    }

    /// Empties the map: an earlier agent's bits stand for other sets.
    pub(super) fn clear(&mut self) {
        for key in self.map.keys().filter_map(Result::ok).collect::<Vec<_>>() {
            if let Err(cause) = self.map.remove(&key) {
                tracing::warn!(%cause, "removing an earlier agent's entry of map cgroup_sets failed");
            }
        }
    }

    /// Sets the sets of the rules that will be in this bank, and updates all known cgroups.
    pub(super) fn put(&mut self, sets: &[CgroupSet], bank: usize, table: &ProcessTable) {
        sets.clone_into(&mut self.sets[bank]);
        for (id, cgroup) in table.cgroups() {
            self.learn(id, &cgroup, table);
        }
    }

    /// Adds the cgroups that the process table has learnt of since the last call.
    pub(super) fn learn_from(&mut self, table: &ProcessTable) {
        let (known, fresh) = table.cgroups_since(self.known);
        self.known = known;
        for (id, cgroup) in fresh {
            self.learn(id, &cgroup, table);
        }
    }

    /// Writes the bits of one cgroup. If the map is full the cgroup stays unknown, and the collector applies the filters.
    fn learn(&mut self, id: CgroupId, cgroup: &Cgroup, table: &ProcessTable) {
        if self.sets.iter().all(Vec::is_empty) {
            return;
        }
        let (path, found) = (&*cgroup.path, table.containers(cgroup).found);
        let of = |bank: usize| {
            let sets = self.sets[bank].iter().enumerate();
            let mine = sets.filter(|(_, set)| set.has(path, found.as_ref()));
            mine.fold(0, |bits, (number, _)| bits | bit(bank, number))
        };
        let bits = of(0) | of(1);
        let key = CgroupKey { id: id.id, hierarchy: id.hierarchy, pad: 0 };
        if let Err(cause) = self.map.insert(key, bits, 0) {
            tracing::debug!(%cause, path, "no room for a cgroup in map cgroup_sets");
        }
    }
}
