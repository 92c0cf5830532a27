//! Ancestry: the chain of processes that each process descends from.

use std::collections::HashMap;

use super::{Inner, Lineage, ProcessTable};
use crate::ExecId;

/// Largest number of generations in a lineage; a process with more ancestors has no known lineage.
pub const LINEAGE_LIMIT: usize = 256;

/// Pid of the first process, which has no parent. Some kernels do not list it.
const FIRST: u32 = 1;

/// Number of recent changes of lineages that are kept for [`ProcessTable::lineages_since`], whose caller copies them to
/// the kernel. The kernel never learns changes that are dropped before; for those processes the collector applies the
/// filters.
const BIRTHS_KEPT: usize = 4096;

/// Returns the bytes of a lineage.
pub(super) fn lineage_bytes(lineage: &[u32]) -> usize {
    32 + size_of_val(lineage)
}

impl Inner {
    fn set_lineage(&mut self, process: ExecId, lineage: Lineage) {
        self.lineage_bytes += lineage_bytes(&lineage);
        let former = self.instances.entry(process).or_default().lineage.replace(lineage);
        self.lineage_bytes -= former.map_or(0, |former| lineage_bytes(&former));
        self.note(process);
        self.shrink();
    }

    pub(super) fn note(&mut self, process: ExecId) {
        self.born += 1;
        self.births.push_back(process);
        if self.births.len() > BIRTHS_KEPT {
            self.births.pop_front();
        }
    }

    fn lineage(&self, process: ExecId) -> Option<Lineage> {
        let known = self.instances.get(&process).and_then(|instance| instance.lineage.clone());
        known.or_else(|| (process.pid == FIRST).then(|| [FIRST].into()))
    }

    fn lineage_below(&self, parent: ExecId, pid: u32) -> Option<Lineage> {
        let above = self.lineage(parent)?;
        (above.len() < LINEAGE_LIMIT).then(|| std::iter::once(pid).chain(above.iter().copied()).collect())
    }
}

impl ProcessTable {
    /// Returns the pids of the process and its ancestors, nearest first. An ancestor is the process that created the
    /// one before, even if that has another parent now. `None` if the chain is not known up to the first process.
    pub fn lineage(&self, process: ExecId) -> Option<Lineage> {
        self.read().lineage(process)
    }

    /// Notes that `parent` created `child`.
    pub fn born(&self, child: ExecId, parent: ExecId) {
        let mut inner = self.write();
        if let Some(lineage) = inner.lineage_below(parent, child.pid) {
            inner.set_lineage(child, lineage);
        }
    }

    /// Notes the parents of processes that existed before the agent started, by pid, 0 for none. Who created them can't
    /// be known any more, so the current parents are used. Known lineages stay as they are.
    pub fn learn_parents(&self, parents: &[(ExecId, u32)]) {
        let by_pid: HashMap<u32, u32> = parents.iter().map(|(id, parent)| (id.pid, *parent)).collect();
        let parent_of = |pid| by_pid.get(&pid).copied().or_else(|| (pid == FIRST).then_some(0));
        let mut inner = self.write();
        for (process, _) in parents {
            if inner.instances.get(process).is_some_and(|instance| instance.lineage.is_some()) {
                continue;
            }
            let (mut pids, mut next) = (Vec::new(), process.pid);
            while let Some(parent) = parent_of(next).filter(|_| pids.len() <= LINEAGE_LIMIT) {
                pids.push(next);
                next = parent;
            }
            if next == 0 && pids.len() <= LINEAGE_LIMIT {
                inner.set_lineage(*process, pids.into());
            }
        }
    }

    /// Returns the lineages of all running processes that have a known one.
    pub fn lineages(&self) -> Vec<(ExecId, Lineage)> {
        let inner = self.read();
        let alive = inner.instances.iter().filter(|(_, instance)| instance.ended.is_none());
        alive.filter_map(|(id, instance)| Some((*id, instance.lineage.clone()?))).collect()
    }

    /// Returns how many changes of lineages there were so far, and those after the first `seen`: the new lineage, or
    /// `None` if the process ended.
    pub fn lineages_since(&self, seen: u64) -> (u64, Vec<(ExecId, Option<Lineage>)>) {
        let inner = self.read();
        let fresh = inner.born.saturating_sub(seen).min(inner.births.len() as u64) as usize;
        let changed = inner.births.iter().rev().take(fresh).map(|id| {
            let instance = inner.instances.get(id).filter(|instance| instance.ended.is_none());
            (*id, instance.and_then(|instance| instance.lineage.clone()))
        });
        (inner.born, changed.collect())
    }

    /// Returns how many changes of lineages there were so far, see [`Self::lineages_since`].
    pub fn births(&self) -> u64 {
        self.read().born
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BootNs;

    #[test]
    fn lineages_follow_the_creators_of_processes() {
        let table = ProcessTable::default();
        let id = |pid| ExecId { pid, start_ns: u64::from(pid) };
        // The order does not matter; the parent of 31 is not listed.
        table.learn_parents(&[(id(20), 10), (id(1), 0), (id(10), 1), (id(31), 30)]);
        let of = |pid| table.lineage(id(pid)).map(|pids| pids.to_vec());
        assert_eq!((of(20), of(1), of(31)), (Some(vec![20, 10, 1]), Some(vec![1]), None));
        table.born(id(21), id(20));
        table.born(id(32), id(31));
        assert_eq!((of(21), of(32)), (Some(vec![21, 20, 10, 1]), None));
        let (seen, changed) = table.lineages_since(0);
        assert_eq!((seen, changed.len(), table.lineages().len()), (4, 4, 4));
        // The process has another parent by now, and the parents are listed again.
        table.end(id(20), BootNs(100));
        table.learn_parents(&[(id(1), 0), (id(21), 1)]);
        assert_eq!(of(21), Some(vec![21, 20, 10, 1]));
        assert_eq!(table.lineages_since(seen), (5, vec![(id(20), None)]));
        assert_eq!(table.lineages().len(), 3);
    }

    #[test]
    fn the_first_process_need_not_be_listed() {
        let table = ProcessTable::default();
        let id = |pid| ExecId { pid, start_ns: u64::from(pid) };
        table.learn_parents(&[(id(2), 0), (id(10), 1)]);
        table.born(id(11), id(1));
        let of = |pid| table.lineage(id(pid)).map(|pids| pids.to_vec());
        assert_eq!(
            (of(1), of(2), of(10), of(11)),
            (Some(vec![1]), Some(vec![2]), Some(vec![10, 1]), Some(vec![11, 1]))
        );
    }

    #[test]
    fn lineages_are_limited_and_cycles_are_ignored() {
        let table = ProcessTable::default();
        let id = |pid| ExecId { pid, start_ns: u64::from(pid) };
        table.learn_parents(&[(id(1), 0)]);
        let last = LINEAGE_LIMIT as u32;
        (2..=last + 1).for_each(|pid| table.born(id(pid), id(pid - 1)));
        assert_eq!(table.lineage(id(last)).map(|pids| pids.len()), Some(LINEAGE_LIMIT));
        assert_eq!(table.lineage(id(last + 1)), None);
        table.learn_parents(&[(id(7), 7)]);
        assert_eq!(table.lineage(id(7)).map(|pids| pids.len()), Some(7), "a known lineage stays");
        let cycle = ProcessTable::default();
        cycle.learn_parents(&[(id(7), 8), (id(8), 7)]);
        assert_eq!(cycle.lineage(id(7)), None);
    }
}
