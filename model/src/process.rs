//! What is known of processes: kept by the host from lifecycle records, read by the collector's enrichers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{BootNs, ExecId, Text};

/// Processes that have ended are remembered until this many have ended after them, so that records still on
/// their way find them. About 300 bytes each.
const ENDED_KEPT: usize = 32_768;

/// A process between two changes of it (exec, chdir, move to another cgroup).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Executable file, absolute.
    pub exe: Option<Text>,
    /// Working folder, absolute.
    pub cwd: Option<Text>,
    /// Path of its cgroup below the hierarchy's root; see [`crate::Identity::cgroup_id`] for which.
    pub cgroup: Option<Arc<str>>,
}

/// Every process that lives, and those that ended lately, each with its changes by time.
///
/// A record is older than the table by the time it is enriched, so what is asked for is the process *at a
/// moment*, not as it is now. Cheap to clone: clones share one table.
#[derive(Clone, Debug, Default)]
pub struct ProcessTable {
    inner: Arc<RwLock<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Newest last; the first is valid from the process's start on.
    processes: HashMap<ExecId, Vec<(BootNs, Arc<ProcessInfo>)>>,
    ended: VecDeque<ExecId>,
}

impl ProcessTable {
    /// What is known of `process` at `at`. Before the first change that is known, the first one.
    pub fn at(&self, process: ExecId, at: BootNs) -> Option<Arc<ProcessInfo>> {
        let inner = self.read();
        let changes = inner.processes.get(&process)?;
        changes.iter().rev().find(|(from, _)| *from <= at).or(changes.first()).map(|(_, info)| info.clone())
    }

    /// The process as it is known last.
    pub fn latest(&self, process: ExecId) -> Option<Arc<ProcessInfo>> {
        self.read().processes.get(&process)?.last().map(|(_, info)| info.clone())
    }

    /// Notes that from `from` on the process is `info`. Changes may come in any order.
    pub fn change(&self, process: ExecId, from: BootNs, info: Arc<ProcessInfo>) {
        let mut inner = self.write();
        let changes = inner.processes.entry(process).or_default();
        let place = changes.partition_point(|(other, _)| *other <= from);
        changes.insert(place, (from, info));
    }

    /// Notes that it ended. It can still be asked for, for a while.
    pub fn end(&self, process: ExecId) {
        let mut inner = self.write();
        if !inner.processes.contains_key(&process) {
            return;
        }
        inner.ended.push_back(process);
        while inner.ended.len() > ENDED_KEPT {
            if let Some(oldest) = inner.ended.pop_front() {
                inner.processes.remove(&oldest);
            }
        }
    }

    /// How many processes are known.
    pub fn len(&self) -> usize {
        self.read().processes.len()
    }

    /// None is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(exe: &str) -> Arc<ProcessInfo> {
        Arc::new(ProcessInfo { exe: Some(exe.into()), cwd: None, cgroup: None })
    }

    #[test]
    fn a_process_is_asked_for_at_a_moment() {
        let table = ProcessTable::default();
        let id = ExecId { pid: 7, start_ns: 100 };
        table.change(id, BootNs(200), info("/bin/true"));
        table.change(id, BootNs(100), info("/bin/sh"));
        table.end(id);
        assert_eq!(table.at(id, BootNs(150)), Some(info("/bin/sh")));
        assert_eq!(table.at(id, BootNs(200)), Some(info("/bin/true")));
        assert_eq!(table.at(id, BootNs(50)), Some(info("/bin/sh")));
        assert_eq!(table.at(ExecId { pid: 7, start_ns: 101 }, BootNs(150)), None);
    }

    #[test]
    fn ended_processes_are_forgotten_in_order() {
        let table = ProcessTable::default();
        for pid in 0..=ENDED_KEPT as u32 {
            let id = ExecId { pid, start_ns: 1 };
            table.change(id, BootNs(1), info("/bin/true"));
            table.end(id);
        }
        assert_eq!(table.len(), ENDED_KEPT);
        assert_eq!(table.latest(ExecId { pid: 0, start_ns: 1 }), None);
    }
}
