//! Of which processes others descend.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Inner, ProcessTable};
use crate::ExecId;

/// Generations of processes that are remembered; of what descends of more, nothing is known.
pub const LINEAGE_LIMIT: usize = 256;

/// The first process, which nobody made. Some kernels do not list it.
const FIRST: u32 = 1;

/// Processes whose descent became known lately, for who has to tell it on. Of what is not told on in time the kernel knows
/// nothing, and the collector judges.
const BIRTHS_KEPT: usize = 4096;

/// Pids of a process and those it descends of, nearest first; see [`ProcessTable::lineage`].
pub type Lineage = Arc<[u32]>;

impl Inner {
    fn set_lineage(&mut self, process: ExecId, lineage: Lineage) {
        self.lives.entry(process).or_default().lineage = Some(lineage);
        self.note(process);
    }

    pub(super) fn note(&mut self, process: ExecId) {
        self.born += 1;
        self.births.push_back(process);
        if self.births.len() > BIRTHS_KEPT {
            self.births.pop_front();
        }
    }

    fn lineage(&self, process: ExecId) -> Option<Lineage> {
        let known = self.lives.get(&process).and_then(|life| life.lineage.clone());
        known.or_else(|| (process.pid == FIRST).then(|| [FIRST].into()))
    }

    fn lineage_below(&self, parent: ExecId, pid: u32) -> Option<Lineage> {
        let above = self.lineage(parent)?;
        (above.len() < LINEAGE_LIMIT).then(|| std::iter::once(pid).chain(above.iter().copied()).collect())
    }
}

impl ProcessTable {
    /// The process and those it descends of, nearest first, by pid: who made it, whoever is its parent now. `None` if that
    /// is not known to the end.
    pub fn lineage(&self, process: ExecId) -> Option<Lineage> {
        self.read().lineage(process)
    }

    /// Notes who made a process.
    pub fn born(&self, child: ExecId, parent: ExecId) {
        let mut inner = self.write();
        if let Some(lineage) = inner.lineage_below(parent, child.pid) {
            inner.set_lineage(child, lineage);
        }
    }

    /// Of processes that were there before: their parents' pids, 0 for who has none. Who made them is not known any more.
    /// What is known better stays.
    pub fn learn_parents(&self, parents: &[(ExecId, u32)]) {
        let by_pid: HashMap<u32, u32> = parents.iter().map(|(id, parent)| (id.pid, *parent)).collect();
        let parent_of = |pid| by_pid.get(&pid).copied().or_else(|| (pid == FIRST).then_some(0));
        let mut inner = self.write();
        for (process, _) in parents {
            if inner.lives.get(process).is_some_and(|life| life.lineage.is_some()) {
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

    /// All that live and whose descent is known.
    pub fn lineages(&self) -> Vec<(ExecId, Lineage)> {
        let inner = self.read();
        let alive = inner.lives.iter().filter(|(_, life)| life.ended.is_none());
        alive.filter_map(|(id, life)| Some((*id, life.lineage.clone()?))).collect()
    }

    /// Those whose descent became known, or that ended (`None`), after the first `seen` times; and how many times that was
    /// so far.
    pub fn lineages_since(&self, seen: u64) -> (u64, Vec<(ExecId, Option<Lineage>)>) {
        let inner = self.read();
        let fresh = inner.born.saturating_sub(seen).min(inner.births.len() as u64) as usize;
        let told = inner.births.iter().rev().take(fresh).map(|id| {
            let life = inner.lives.get(id).filter(|life| life.ended.is_none());
            (*id, life.and_then(|life| life.lineage.clone()))
        });
        (inner.born, told.collect())
    }

    /// How many times there was something for [`Self::lineages_since`].
    pub fn births(&self) -> u64 {
        self.read().born
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BootNs;

    #[test]
    fn who_made_whom() {
        let table = ProcessTable::default();
        let id = |pid| ExecId { pid, start_ns: u64::from(pid) };
        // In any order; 30's parent is not among them.
        table.learn_parents(&[(id(20), 10), (id(1), 0), (id(10), 1), (id(31), 30)]);
        let of = |pid| table.lineage(id(pid)).map(|pids| pids.to_vec());
        assert_eq!((of(20), of(1), of(31)), (Some(vec![20, 10, 1]), Some(vec![1]), None));
        table.born(id(21), id(20));
        table.born(id(32), id(31));
        assert_eq!((of(21), of(32)), (Some(vec![21, 20, 10, 1]), None));
        let (seen, told) = table.lineages_since(0);
        assert_eq!((seen, told.len(), table.lineages().len()), (4, 4, 4));
        // Its parent is another by now, and it is asked for again.
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
    fn descent_has_an_end() {
        let table = ProcessTable::default();
        let id = |pid| ExecId { pid, start_ns: u64::from(pid) };
        table.learn_parents(&[(id(1), 0)]);
        let last = LINEAGE_LIMIT as u32;
        (2..=last + 1).for_each(|pid| table.born(id(pid), id(pid - 1)));
        assert_eq!(table.lineage(id(last)).map(|pids| pids.len()), Some(LINEAGE_LIMIT));
        assert_eq!(table.lineage(id(last + 1)), None);
        table.learn_parents(&[(id(7), 7)]);
        assert_eq!(table.lineage(id(7)).map(|pids| pids.len()), Some(7), "what is known stays");
        let cycle = ProcessTable::default();
        cycle.learn_parents(&[(id(7), 8), (id(8), 7)]);
        assert_eq!(cycle.lineage(id(7)), None);
    }
}
