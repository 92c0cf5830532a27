//! Processes by their pid in their own pid namespace: callers in that namespace name them by it.

use super::{ENDS_EARLIER_NS, ProcessTable};
use crate::{BootNs, ExecId};

/// Inode number of the initial pid namespace, the same on every kernel (`PROC_PID_INIT_INO`).
pub const FIRST_PID_NS: u32 = 0xEFFF_FFFC;

impl ProcessTable {
    /// Notes the pid namespace of a process, and its pid there.
    pub fn is_numbered(&self, process: ExecId, pid_ns: u32, ns_pid: u32) {
        if pid_ns == FIRST_PID_NS {
            return;
        }
        let mut guard = self.write();
        let inner = &mut *guard;
        let number = (pid_ns, ns_pid);
        let instance = inner.instances.entry(process).or_default();
        if let Some(former) = instance.number.replace(number) {
            inner.numbers.remove(&(former, process.start_ns));
        }
        inner.numbers.insert((number, process.start_ns), process);
    }

    /// Returns the process that had this pid in a pid namespace at that moment.
    pub fn of_ns_pid(&self, pid_ns: u32, ns_pid: u32, at: BootNs) -> Option<ExecId> {
        if pid_ns == FIRST_PID_NS {
            return self.of_pid(ns_pid, at);
        }
        let inner = self.read();
        let number = (pid_ns, ns_pid);
        let (_, found) = inner.numbers.range((number, 0)..=(number, at.0)).next_back()?;
        let ended = inner.instances.get(found).and_then(|instance| instance.ended);
        let runs = ended.is_none_or(|ended| ended.0.saturating_add(ENDS_EARLIER_NS) >= at.0);
        runs.then_some(*found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_the_process_that_had_it_in_that_namespace() {
        let table = ProcessTable::default();
        let [first, second, other] =
            [(70, 100), (71, 2_000_000_000), (72, 100)].map(|(pid, start_ns)| ExecId { pid, start_ns });
        table.is_numbered(first, 5, 1);
        table.is_numbered(second, 5, 1);
        table.is_numbered(other, 6, 1);
        table.end(first, BootNs(1000));
        assert_eq!(table.of_ns_pid(5, 1, BootNs(500)), Some(first));
        assert_eq!(table.of_ns_pid(5, 1, BootNs(1_000_000_000)), None, "ended");
        assert_eq!(table.of_ns_pid(5, 1, BootNs(3_000_000_000)), Some(second));
        assert_eq!(table.of_ns_pid(6, 1, BootNs(500)), Some(other));
        assert_eq!(table.of_ns_pid(7, 1, BootNs(500)), None);
        assert_eq!(table.of_ns_pid(FIRST_PID_NS, 70, BootNs(500)), Some(first));
        table.is_numbered(other, 6, 2);
        assert_eq!(table.of_ns_pid(6, 1, BootNs(500)), None, "numbered anew");
    }
}
