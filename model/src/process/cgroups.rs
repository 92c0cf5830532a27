//! Remembers the paths of cgroups.

use std::sync::Arc;

use super::ProcessTable;
use crate::CgroupId;

impl ProcessTable {
    /// Notes the path of a cgroup, which is the same for all processes in it, whether the table knows them or not.
    pub fn learn_cgroup(&self, id: CgroupId, path: &Arc<str>) {
        if self.read().cgroups.paths.get(&id).is_none_or(|known| known != path) {
            self.write().cgroups.learn(id, path);
        }
    }

    /// Returns all cgroups whose paths are known.
    pub fn cgroups(&self) -> Vec<(CgroupId, Arc<str>)> {
        self.read().cgroups.paths.iter().map(|(id, path)| (*id, path.clone())).collect()
    }

    /// Returns how many cgroups were noted so far, and those noted after the first `seen`.
    pub fn cgroups_since(&self, seen: u64) -> (u64, Vec<(CgroupId, Arc<str>)>) {
        let cgroups = &self.read().cgroups;
        let fresh = cgroups.learnt.saturating_sub(seen).min(cgroups.by_age.len() as u64) as usize;
        let ids = cgroups.by_age.iter().rev().take(fresh);
        (cgroups.learnt, ids.filter_map(|id| Some((*id, cgroups.paths.get(id)?.clone()))).collect())
    }

    /// Returns the path of a cgroup below its hierarchy's root, if any process was seen in it.
    pub fn cgroup(&self, id: CgroupId) -> Option<Arc<str>> {
        self.read().cgroups.paths.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::CGROUPS_KEPT;
    use super::*;

    #[test]
    fn cgroups_of_two_hierarchies_are_two_and_the_oldest_is_forgotten() {
        let table = ProcessTable::default();
        let [one, other] = [0, 4].map(|hierarchy| CgroupId { hierarchy, id: 1 });
        table.learn_cgroup(one, &"/one".into());
        table.learn_cgroup(other, &"/other".into());
        table.learn_cgroup(one, &"/renamed".into());
        assert_eq!(table.cgroup(one).as_deref(), Some("/renamed"));
        for id in 2..=CGROUPS_KEPT as u64 {
            table.learn_cgroup(CgroupId { hierarchy: 0, id }, &"/x".into());
        }
        assert_eq!(table.cgroup(one), None);
        assert_eq!(table.cgroup(other).as_deref(), Some("/other"));
        let (count, all) = table.cgroups_since(0);
        assert_eq!(
            (count, all.len(), table.cgroups().len()),
            (CGROUPS_KEPT as u64 + 1, CGROUPS_KEPT, CGROUPS_KEPT)
        );
        let (_, last) = table.cgroups_since(count - 1);
        assert_eq!(last, [(CgroupId { hierarchy: 0, id: CGROUPS_KEPT as u64 }, "/x".into())]);
    }
}
