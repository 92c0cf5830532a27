//! What filters ask of cgroups in words: the agent answers for each cgroup it knows the path of, the kernel side looks
//! the answer up by the cgroup's number.

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use model::container::container;
use model::{CgroupId, ProcessTable};

use super::rules::bit;
use super::{LoadError, map};
use crate::rules::PlaceSet;
use crate::wire::CgroupKey;

/// The map, and what its bits mean.
pub(super) struct Places {
    map: HashMap<MapData, CgroupKey, u64>,
    /// Cgroups of the table that were answered for.
    known: u64,
    /// By bank of rules.
    sets: [Vec<PlaceSet>; 2],
}

impl Places {
    /// Of an object that was just loaded.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self { map: map(ebpf, "place_sets")?, known: 0, sets: Default::default() })
    }

    /// What a predecessor answered was about other questions.
    pub(super) fn clear(&mut self) {
        for key in self.map.keys().filter_map(Result::ok).collect::<Vec<_>>() {
            // Of one that stays it is not known which rules its bits are for: so it must not stay.
            if let Err(cause) = self.map.remove(&key) {
                tracing::warn!(%cause, "a cgroup of an agent before this one can't be forgotten");
            }
        }
    }

    /// Questions of the rules that will be in this bank, and the answers for the cgroups that are known.
    pub(super) fn put(&mut self, sets: &[PlaceSet], bank: usize, table: &ProcessTable) {
        sets.clone_into(&mut self.sets[bank]);
        for (id, path) in table.cgroups() {
            self.learn(id, &path);
        }
    }

    /// The answers for cgroups that the table has learnt of.
    pub(super) fn learn_from(&mut self, table: &ProcessTable) {
        let (known, fresh) = table.cgroups_since(self.known);
        self.known = known;
        for (id, path) in fresh {
            self.learn(id, &path);
        }
    }

    /// The answers for one more. Where there is no room they are unknown, and the collector judges.
    fn learn(&mut self, id: CgroupId, path: &str) {
        if self.sets.iter().all(Vec::is_empty) {
            return;
        }
        let found = container(path);
        let of = |bank: usize| {
            let sets = self.sets[bank].iter().enumerate();
            let mine = sets.filter(|(_, set)| set.has(path, found.as_ref()));
            mine.fold(0, |bits, (number, _)| bits | bit(bank, number))
        };
        let bits = of(0) | of(1);
        let key = CgroupKey { id: id.id, hierarchy: id.hierarchy, pad: 0 };
        if let Err(cause) = self.map.insert(key, bits, 0) {
            tracing::debug!(%cause, path, "no room for what filters ask of a cgroup");
        }
    }
}
