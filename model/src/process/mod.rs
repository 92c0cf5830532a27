//! The process table: the executable, working folder, cgroup and ancestry of each process, over time.
//!
//! The kernel host fills the table from lifecycle records (exec, chdir, clone, exit) as it reads them from the ring;
//! the collector's enrichers read it. A record is older than the table when it is enriched, so each process has a list
//! of changes by time, and readers ask for the state at the record's time. Ended processes are kept for a while for the
//! same reason. Memory is bounded in bytes (see `limit.rs`); and at most 32,768 ended processes, 64
//! changes of each process and [`CGROUPS_KEPT`] cgroups are kept. Equal states and texts are kept once (`shared.rs`).
//!
//! ```text
//!   (pid 7, start 100)   exe=/bin/sh   exe=/bin/true   cwd=/tmp       ended
//!   ─────────────────────┬─────────────┬───────────────┬──────────────┬───────▶ boot time
//!                        100           200   ▲         250            300
//!                                            at(…, 220): exe=/bin/true, cwd as before
//! ```

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::lock::{read, write};
use crate::{BootNs, Cgroup, CgroupId, ExecId};
use shared::States;

mod cgroups;
mod limit;
mod lineage;
mod numbers;
mod shared;

pub use limit::TableSize;
pub use lineage::LINEAGE_LIMIT;
pub use numbers::FIRST_PID_NS;
pub use shared::ProcessInfo;

/// Number of ended processes that are remembered, so that records still in flight find them.
const ENDED_KEPT: usize = 32_768;

/// Number of changes of one process that are remembered. Records in flight are only seconds old, and a process that
/// changes its folder all the time must not fill the memory.
const CHANGES_KEPT: usize = 64;

/// Largest number of bytes of the earlier states of one process.
const CHANGES_BYTES: usize = 64 << 10;

/// Tolerance after a process's end within which its pid still refers to it: the system call that ends a process may be
/// recorded later than the end, on a busy machine by this much. The kernel does not reuse a pid that soon.
const ENDS_EARLIER_NS: u64 = 100_000_000;

/// Largest number of cgroups whose paths are remembered, removed cgroups included. The oldest entries are dropped
/// first; the processes in such a cgroup still have its path.
pub const CGROUPS_KEPT: usize = 16_384;

/// Largest number of bytes of the entries of cgroups.
const CGROUP_BYTES: usize = 4 << 20;

/// User of a process for which no user was noted.
const NOBODY: u32 = u32::MAX;

/// Pids of a process and its ancestors, nearest first; see [`ProcessTable::lineage`].
pub type Lineage = Arc<[u32]>;

/// A pid namespace, and the number of a process in it.
type NsPid = (u32, u32);

/// Holds every running process and those that ended recently, each with its changes by time.
///
/// Readers ask for a process at a moment, because a record is older than the table by the time it is enriched. Cheap to
/// clone: clones share one table.
#[derive(Clone, Debug, Default)]
pub struct ProcessTable {
    inner: Arc<RwLock<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    processes: HashMap<ExecId, History>,
    states: States,
    /// Number of changes of all processes.
    changes: usize,
    ended: VecDeque<ExecId>,
    /// The same processes, and those with only a known lineage.
    instances: BTreeMap<ExecId, Instance>,
    /// The most recent of the `born` processes whose lineage became known or that ended.
    births: VecDeque<ExecId>,
    born: u64,
    lineage_bytes: usize,
    /// Processes outside the first pid namespace, by the number that they have in theirs.
    numbers: BTreeMap<(NsPid, u64), ExecId>,
    cgroups: Cgroups,
    dropped_processes: u64,
    dropped_changes: u64,
}

/// The changes of one process.
#[derive(Debug)]
struct History {
    /// Newest last; the first one is valid from the process's start, unless earlier ones were dropped.
    changes: Vec<(BootNs, Arc<ProcessInfo>)>,
    is_trimmed: bool,
    /// Bytes that the changes would take if no other process shared them.
    bytes: usize,
    /// Effective user id of the process when it was noted last.
    user: u32,
}

impl Default for History {
    fn default() -> Self {
        Self { changes: Vec::new(), is_trimmed: false, bytes: 0, user: NOBODY }
    }
}

impl History {
    fn at(&self, at: BootNs) -> Option<&Arc<ProcessInfo>> {
        let found = self.changes.iter().rev().find(|(from, _)| *from <= at);
        let found = found.or(self.changes.first().filter(|_| !self.is_trimmed));
        found.map(|(_, info)| info)
    }
}

#[derive(Debug, Default)]
struct Instance {
    ended: Option<BootNs>,
    /// Lineage as in [`ProcessTable::lineage`].
    lineage: Option<Lineage>,
    number: Option<NsPid>,
}

impl ProcessTable {
    /// Returns the state of `process` at `at`. Before its first known change, returns the first one, or `None` if earlier
    /// ones were dropped.
    pub fn at(&self, process: ExecId, at: BootNs) -> Option<Arc<ProcessInfo>> {
        self.read().processes.get(&process)?.at(at).cloned()
    }

    /// Returns the last known state of a process.
    pub fn latest(&self, process: ExecId) -> Option<Arc<ProcessInfo>> {
        self.read().processes.get(&process)?.changes.last().map(|(_, info)| info.clone())
    }

    /// Notes that from `from` on the process is `info`. Changes may come in any order.
    pub fn change(&self, process: ExecId, from: BootNs, info: Arc<ProcessInfo>) {
        let mut guard = self.write();
        let inner = &mut *guard;
        inner.instances.entry(process).or_default();
        let history = inner.processes.entry(process).or_default();
        let index = history.changes.partition_point(|(other, _)| *other <= from);
        if index > 0 && history.changes[index - 1].1 == info {
            return;
        }
        history.bytes += info.alone();
        history.changes.insert(index, (from, inner.states.take(&info)));
        inner.changes += 1;
        inner.trim(process, CHANGES_KEPT, CHANGES_BYTES);
        inner.shrink();
    }

    /// Notes the effective user id of a process, which decides whose entries are dropped when the table is full.
    pub fn belongs_to(&self, process: ExecId, user: u32) {
        let mut inner = self.write();
        inner.instances.entry(process).or_default();
        inner.processes.entry(process).or_default().user = user;
    }

    /// Returns the process that had this pid, in the initial pid namespace, at that moment.
    pub fn of_pid(&self, pid: u32, at: BootNs) -> Option<ExecId> {
        let inner = self.read();
        let until = ExecId { pid, start_ns: at.0 };
        let (found, instance) = inner.instances.range(ExecId { pid, start_ns: 0 }..=until).next_back()?;
        let runs = instance.ended.is_none_or(|ended| ended.0.saturating_add(ENDS_EARLIER_NS) >= at.0);
        runs.then_some(*found)
    }

    /// Notes that a process ended at that moment. The table keeps it for a while.
    pub fn end(&self, process: ExecId, at: BootNs) {
        let mut inner = self.write();
        let Some(instance) = inner.instances.get_mut(&process) else { return };
        instance.ended = Some(at);
        inner.note(process);
        inner.ended.push_back(process);
        while inner.ended.len() > ENDED_KEPT {
            if let Some(oldest) = inner.ended.pop_front() {
                inner.forget(oldest);
            }
        }
    }

    /// Notes that of the processes known before `at` only those in `alive` still run. For use when records of exits may
    /// have been lost.
    pub fn retain(&self, alive: &HashSet<ExecId>, at: BootNs) {
        let gone: Vec<ExecId> = {
            let inner = self.read();
            let ended: HashSet<&ExecId> = inner.ended.iter().collect();
            let is_older = |id: &ExecId| {
                let history = inner.processes.get(id);
                id.start_ns < at.0
                    && history.is_none_or(|history| history.changes.iter().all(|(from, _)| *from < at))
            };
            let known = inner.instances.keys().filter(|id| is_older(id));
            let gone = known.filter(|id| !alive.contains(id) && !ended.contains(id));
            gone.copied().collect()
        };
        for process in gone {
            self.end(process, at);
        }
    }

    /// Returns the number of known processes.
    pub fn len(&self) -> usize {
        self.read().processes.len()
    }

    /// Returns whether no process is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        read(&self.inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        write(&self.inner)
    }
}

#[derive(Debug, Default)]
struct Cgroups {
    known: HashMap<CgroupId, Cgroup>,
    by_age: VecDeque<CgroupId>,
    /// Number of cgroups ever added.
    learnt: u64,
    bytes: usize,
    dropped: u64,
    /// Users, besides root, whose cgroups may name containers.
    runtime_users: Vec<u32>,
}

/// Returns the bytes of a cgroup's entry. Processes in it may have the path once more.
fn cgroup_bytes(cgroup: &Cgroup) -> usize {
    112 + 2 * size_of::<CgroupId>() + cgroup.bytes()
}

impl Cgroups {
    fn learn(&mut self, id: CgroupId, cgroup: &Cgroup) {
        self.bytes += cgroup_bytes(cgroup);
        match self.known.insert(id, cgroup.clone()) {
            Some(former) => self.bytes -= cgroup_bytes(&former),
            None => {
                self.by_age.push_back(id);
                self.learnt += 1;
            }
        }
        while self.by_age.len() > CGROUPS_KEPT || self.bytes > CGROUP_BYTES {
            let Some(oldest) = self.by_age.pop_front() else { break };
            self.bytes -= self.known.remove(&oldest).map_or(0, |cgroup| cgroup_bytes(&cgroup));
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(exe: &str) -> Arc<ProcessInfo> {
        Arc::new(ProcessInfo { exe: Some(exe.into()), cwd: None, cgroup: None })
    }

    #[test]
    fn the_state_of_a_process_is_that_of_the_given_moment() {
        let table = ProcessTable::default();
        let id = ExecId { pid: 7, start_ns: 100 };
        table.change(id, BootNs(200), info("/bin/true"));
        table.change(id, BootNs(100), info("/bin/sh"));
        table.end(id, BootNs(300));
        assert_eq!(table.at(id, BootNs(150)), Some(info("/bin/sh")));
        assert_eq!(table.at(id, BootNs(200)), Some(info("/bin/true")));
        assert_eq!(table.at(id, BootNs(50)), Some(info("/bin/sh")));
        assert_eq!(table.at(ExecId { pid: 7, start_ns: 101 }, BootNs(150)), None);
    }

    #[test]
    fn a_process_that_changes_all_the_time_takes_bounded_memory() {
        let table = ProcessTable::default();
        let id = ExecId { pid: 7, start_ns: 1 };
        let (here, there) = (info("/bin/here"), info("/bin/there"));
        for at in 1..=1000 {
            table.change(id, BootNs(at), if at % 2 == 0 { here.clone() } else { there.clone() });
        }
        assert_eq!(table.read().processes[&id].changes.len(), CHANGES_KEPT);
        assert_eq!(table.at(id, BootNs(999)), Some(there));
        table.change(id, BootNs(2000), here.clone());
        assert_eq!(
            table.read().processes[&id].changes.last(),
            Some(&(BootNs(1000), here)),
            "an equal state adds no entry"
        );
    }

    #[test]
    fn processes_that_ended_unnoticed_are_marked_as_ended() {
        let table = ProcessTable::default();
        let [gone, alive, young] = [1, 2, 3].map(|pid| ExecId { pid, start_ns: 1 });
        table.change(gone, BootNs(5), info("/bin/gone"));
        table.change(alive, BootNs(5), info("/bin/alive"));
        table.change(young, BootNs(20), info("/bin/young"));
        table.retain(&HashSet::from([alive]), BootNs(10));
        assert_eq!(table.read().ended, [gone]);
        table.retain(&HashSet::from([alive]), BootNs(10));
        assert_eq!(table.read().ended, [gone], "marked only once");
    }

    #[test]
    fn a_pid_refers_to_one_process_at_a_given_moment() {
        let table = ProcessTable::default();
        let [first, second, other] =
            [(7, 100), (7, 2_000_000_000), (8, 50)].map(|(pid, start_ns)| ExecId { pid, start_ns });
        for id in [second, other, first] {
            table.change(id, BootNs(id.start_ns), info("/bin/true"));
        }
        table.end(first, BootNs(1000));
        let of = |at| table.of_pid(7, BootNs(at));
        assert_eq!(
            (of(99), of(100), of(1500), of(2_000_000_000)),
            (None, Some(first), Some(first), Some(second))
        );
        assert_eq!(of(1_000_000_000), None, "the first had ended, and the second had not started yet");
        assert_eq!(table.of_pid(9, BootNs(1000)), None);
    }

    #[test]
    fn ended_processes_are_forgotten_in_order() {
        let table = ProcessTable::default();
        for pid in 0..=ENDED_KEPT as u32 {
            let id = ExecId { pid, start_ns: 1 };
            table.change(id, BootNs(1), info("/bin/true"));
            table.end(id, BootNs(2));
        }
        assert_eq!((table.len(), table.read().instances.len()), (ENDED_KEPT, ENDED_KEPT));
        assert_eq!(table.latest(ExecId { pid: 0, start_ns: 1 }), None);
    }
}
