//! Remembers the paths of cgroups.

use super::ProcessTable;
use crate::container::{Containers, containers};
use crate::{Cgroup, CgroupId};

impl ProcessTable {
    /// Notes the path of a cgroup and the owners of its folders, which is the same for all processes in it, whether the table knows them or not.
    pub fn learn_cgroup(&self, id: CgroupId, cgroup: &Cgroup) {
        if self.read().cgroups.known.get(&id).is_none_or(|known| known != cgroup) {
            self.write().cgroups.learn(id, cgroup);
        }
    }

    /// Returns all cgroups whose paths are known.
    pub fn cgroups(&self) -> Vec<(CgroupId, Cgroup)> {
        self.read().cgroups.known.iter().map(|(id, path)| (*id, path.clone())).collect()
    }

    /// Returns how many cgroups were noted so far, and those noted after the first `seen`.
    pub fn cgroups_since(&self, seen: u64) -> (u64, Vec<(CgroupId, Cgroup)>) {
        let cgroups = &self.read().cgroups;
        let fresh = cgroups.learnt.saturating_sub(seen).min(cgroups.by_age.len() as u64) as usize;
        let ids = cgroups.by_age.iter().rev().take(fresh);
        (cgroups.learnt, ids.filter_map(|id| Some((*id, cgroups.known.get(id)?.clone()))).collect())
    }

    /// Returns the cgroup of that id, if any process was seen in it.
    pub fn cgroup(&self, id: CgroupId) -> Option<Cgroup> {
        self.read().cgroups.known.get(&id).cloned()
    }

    /// Sets the users, besides root, whose cgroups may name containers. All known cgroups count as noted anew.
    pub fn set_runtime_users(&self, users: &[u32]) {
        let cgroups = &mut self.write().cgroups;
        if cgroups.runtime_users != users {
            cgroups.runtime_users = users.to_vec();
            cgroups.learnt += cgroups.by_age.len() as u64;
        }
    }

    /// Returns the container that a cgroup belongs to, and the one that it claims.
    pub fn containers(&self, cgroup: &Cgroup) -> Containers {
        containers(cgroup, &self.read().cgroups.runtime_users)
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
        assert_eq!(table.cgroup(one), Some("/renamed".into()));
        for id in 2..=CGROUPS_KEPT as u64 {
            table.learn_cgroup(CgroupId { hierarchy: 0, id }, &"/x".into());
        }
        assert_eq!(table.cgroup(one), None);
        assert_eq!(table.cgroup(other), Some("/other".into()));
        let (count, all) = table.cgroups_since(0);
        assert_eq!(
            (count, all.len(), table.cgroups().len()),
            (CGROUPS_KEPT as u64 + 1, CGROUPS_KEPT, CGROUPS_KEPT)
        );
        let (_, last) = table.cgroups_since(count - 1);
        assert_eq!(last, [(CgroupId { hierarchy: 0, id: CGROUPS_KEPT as u64 }, "/x".into())]);
    }

    #[test]
    fn other_runtime_users_make_all_cgroups_new() {
        let table = ProcessTable::default();
        let claim = Cgroup::new(format!("/docker/{}", "ab".repeat(32)), &[7]);
        table.learn_cgroup(CgroupId { hierarchy: 0, id: 1 }, &claim);
        let (seen, _) = table.cgroups_since(0);
        assert_eq!(table.containers(&claim).found, None);
        table.set_runtime_users(&[7]);
        assert!(table.containers(&claim).found.is_some());
        let (seen, fresh) = table.cgroups_since(seen);
        assert_eq!(fresh.len(), 1);
        table.set_runtime_users(&[7]);
        assert_eq!(table.cgroups_since(seen).1, []);
    }
}
