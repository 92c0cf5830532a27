//! Bounds the memory of the process table. Watched processes choose what is in it, so whoever fills it loses his own.

use std::collections::HashMap;

use super::lineage::lineage_bytes;
use super::{Inner, ProcessTable};
use crate::ExecId;

/// Largest number of bytes of the process table, as estimated from the lengths of its texts and the sizes of its entries.
const TABLE_BYTES: usize = 16 << 20;

/// Bytes that are left after entries were dropped, so that this happens once for many changes.
const LEFT: usize = TABLE_BYTES / 8 * 7;

/// Estimated bytes of an entry: of a process, of one of its changes, of its descent, of an end.
const PROCESS: usize = 128;
const CHANGE: usize = 24;
const INSTANCE: usize = 96;
const ENDED: usize = 16;

/// Bytes of a process's number in its pid namespace.
const NUMBER: usize = 64;

/// The size of the process table, and what was dropped so that it stays below its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TableSize {
    /// Number of processes, those that ended recently included.
    pub processes: usize,
    /// Number of cgroups whose paths are known.
    pub cgroups: usize,
    /// Estimated number of bytes of all entries.
    pub bytes: usize,
    /// Largest number of bytes.
    pub limit: usize,
    /// Number of processes that were dropped because the table was at its limit.
    pub dropped_processes: u64,
    /// Number of earlier states of processes that were dropped: of a process that had too many, or because the table was
    /// at its limit.
    pub dropped_changes: u64,
    /// Number of cgroups whose paths were dropped because there were too many.
    pub dropped_cgroups: u64,
}

impl ProcessTable {
    /// Returns the table's size and what was dropped from it.
    pub fn size(&self) -> TableSize {
        let inner = self.read();
        TableSize {
            processes: inner.processes.len(),
            cgroups: inner.cgroups.known.len(),
            bytes: inner.bytes(),
            limit: TABLE_BYTES,
            dropped_processes: inner.dropped_processes,
            dropped_changes: inner.dropped_changes,
            dropped_cgroups: inner.cgroups.dropped,
        }
    }
}

impl Inner {
    pub(super) fn bytes(&self) -> usize {
        self.states.bytes()
            + self.processes.len() * PROCESS
            + self.changes * CHANGE
            + self.instances.len() * INSTANCE
            + self.numbers.len() * NUMBER
            + self.ended.len() * ENDED
            + self.births.len() * size_of::<ExecId>()
            + self.lineage_bytes
            + self.cgroups.bytes
    }

    /// Drops entries if the table is too large: of the user whose processes take most, first those that ended, the oldest
    /// first, then the earlier states of running ones, then running ones.
    pub(super) fn shrink(&mut self) {
        if self.bytes() <= TABLE_BYTES {
            return;
        }
        let mut users: HashMap<u32, usize> = HashMap::new();
        for history in self.processes.values() {
            *users.entry(history.user).or_default() += PROCESS + history.bytes;
        }
        let mut users: Vec<_> = users.into_iter().collect();
        users.sort_unstable_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        for (user, _) in users {
            self.drop_ended(Some(user));
            self.drop_changes(user);
            self.drop_running(user);
            if self.bytes() <= LEFT {
                return;
            }
        }
        // What is left has no state, only a descent.
        self.drop_ended(None);
    }

    /// Drops ended processes of a user, or of all, while the table is too large.
    fn drop_ended(&mut self, user: Option<u32>) {
        let mut ended = std::mem::take(&mut self.ended);
        let count = ended.len();
        ended.retain(|process| {
            let owner = self.processes.get(process).map(|history| history.user);
            if self.bytes() + count * ENDED <= LEFT || user.is_some() && owner != user {
                return true;
            }
            self.forget(*process);
            self.dropped_processes += 1;
            false
        });
        self.ended = ended;
    }

    fn drop_changes(&mut self, user: u32) {
        let of_user = self.processes.iter().filter(|(_, history)| history.user == user);
        let many = of_user.filter(|(_, history)| history.changes.len() > 1).map(|(id, _)| *id);
        for process in many.collect::<Vec<_>>() {
            if self.bytes() <= LEFT {
                return;
            }
            self.trim(process, 1, 0);
        }
    }

    fn drop_running(&mut self, user: u32) {
        if self.bytes() <= LEFT {
            return;
        }
        let of_user = self.processes.iter().filter(|(_, history)| history.user == user);
        let mut running: Vec<ExecId> = of_user.map(|(id, _)| *id).collect();
        running.sort_unstable_by_key(|id| id.start_ns);
        for process in running {
            if self.bytes() <= LEFT {
                return;
            }
            self.forget(process);
            self.dropped_processes += 1;
        }
    }

    /// Drops the earliest states of a process until at most `count` are left, and at most `bytes` besides the present one.
    pub(super) fn trim(&mut self, process: ExecId, count: usize, bytes: usize) {
        let Some(history) = self.processes.get_mut(&process) else { return };
        let present = history.changes.last().map_or(0, |(_, info)| info.alone());
        while history.changes.len() > 1 && (history.changes.len() > count || history.bytes > present + bytes)
        {
            let (_, info) = history.changes.remove(0);
            history.bytes -= info.alone();
            history.is_trimmed = true;
            self.states.release(&info);
            self.changes -= 1;
            self.dropped_changes += 1;
        }
    }

    /// Removes all that is known of a process.
    pub(super) fn forget(&mut self, process: ExecId) {
        if let Some(history) = self.processes.remove(&process) {
            self.changes -= history.changes.len();
            history.changes.iter().for_each(|(_, info)| self.states.release(info));
        }
        let instance = self.instances.remove(&process).unwrap_or_default();
        if let Some(number) = instance.number {
            self.numbers.remove(&(number, process.start_ns));
        }
        let lineage = instance.lineage;
        self.lineage_bytes -= lineage.map_or(0, |lineage| lineage_bytes(&lineage));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::ProcessInfo;
    use super::*;
    use crate::{BootNs, Text};

    fn deep(number: u32) -> Arc<ProcessInfo> {
        let cwd = [&[b'\xff'; 6000][..], &number.to_le_bytes()].concat();
        Arc::new(ProcessInfo { exe: Some("/bin/sh".into()), cwd: Some(Text::from_bytes(&cwd)), cgroup: None })
    }

    #[test]
    fn whoever_fills_the_table_loses_his_own() {
        let table = ProcessTable::default();
        let id = |pid| ExecId { pid, start_ns: u64::from(pid) };
        let quiet = Arc::new(ProcessInfo { exe: Some("/bin/true".into()), cwd: None, cgroup: None });
        for pid in 1..=100 {
            table.belongs_to(id(pid), 1000);
            table.change(id(pid), BootNs(pid.into()), quiet.clone());
            if pid % 2 == 0 {
                table.end(id(pid), BootNs(200));
            }
        }
        for pid in 1000..1400 {
            table.belongs_to(id(pid), 2000);
            for change in 0..20 {
                table.change(id(pid), BootNs(u64::from(pid + change)), deep(pid * 20 + change));
            }
            if pid % 2 == 0 {
                table.end(id(pid), BootNs(4000));
            }
            assert!(table.size().bytes <= TABLE_BYTES, "{:?}", table.size());
        }
        let size = table.size();
        assert!(size.dropped_processes > 0 && size.dropped_changes > 0, "{size:?}");
        assert!((1..=100).all(|pid| table.latest(id(pid)) == Some(quiet.clone())), "others lost theirs");
        assert!(table.latest(id(1399)).is_some(), "the newest is kept");
    }

    #[test]
    fn running_processes_alone_cannot_fill_it() {
        let table = ProcessTable::default();
        for pid in 1..4000 {
            table.change(ExecId { pid, start_ns: 1 }, BootNs(1), deep(pid));
            table.born(ExecId { pid, start_ns: 1 }, ExecId { pid: 1, start_ns: 0 });
        }
        let size = table.size();
        assert!(size.bytes <= TABLE_BYTES && size.dropped_processes > 0, "{size:?}");
    }

    #[test]
    fn a_dropped_state_is_not_taken_for_a_later_one() {
        let table = ProcessTable::default();
        let id = ExecId { pid: 7, start_ns: 1 };
        for at in 1..=20 {
            table.change(id, BootNs(at), deep(at as u32));
        }
        assert_eq!(table.at(id, BootNs(1)), None, "not known any more");
        assert_eq!(table.at(id, BootNs(19)), Some(deep(19)));
        assert_eq!(table.size().dropped_changes, 20 - table.read().processes[&id].changes.len() as u64);
    }

    #[test]
    fn nothing_is_left_of_what_was_forgotten() {
        let table = ProcessTable::default();
        for pid in 2..100 {
            let id = ExecId { pid, start_ns: 1 };
            table.born(id, ExecId { pid: 1, start_ns: 0 });
            table.change(id, BootNs(1), deep(pid));
            table.end(id, BootNs(2));
            table.write().ended.clear();
            table.write().births.clear();
            table.write().forget(id);
        }
        assert_eq!(table.size().bytes, 0);
    }
}
