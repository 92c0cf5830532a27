//! What a record lacks, looked up: working folder, executable, container. From the process table, never from
//! `/proc`: the process may be gone by now, or another.

mod container;

use std::collections::HashMap;
use std::sync::Arc;

use model::{BootNs, ProcessTable, Tracking};

pub use container::container_id;

use crate::normalize::keep_bytes;

/// So many cgroups' containers are remembered; beyond, all are forgotten and looked up again.
const CGROUPS_KEPT: usize = 4096;

/// Fills in what the process table knows.
#[derive(Debug)]
pub struct Enricher {
    processes: ProcessTable,
    containers: HashMap<Arc<str>, Option<Arc<str>>>,
}

impl Enricher {
    /// One that asks `processes`.
    pub fn new(processes: ProcessTable) -> Self {
        Self { processes, containers: HashMap::new() }
    }

    /// Fills in what the row does not have, as it was at `at`.
    pub fn enrich(&mut self, row: &mut Tracking, at: BootNs) {
        let Some(process) = row.exec_id.and_then(|id| self.processes.at(id, at)) else { return };
        if row.cwd.is_none() && process.cwd.is_some() {
            row.cwd.clone_from(&process.cwd);
            keep_bytes(&mut row.extended, "cwd_bytes", row.cwd.as_ref());
        }
        if row.exe.is_none() && process.exe.is_some() {
            row.exe.clone_from(&process.exe);
            keep_bytes(&mut row.extended, "exe_bytes", row.exe.as_ref());
        }
        if row.container_id.is_none() {
            row.container_id = process.cgroup.as_ref().and_then(|cgroup| self.container(cgroup));
        }
    }

    fn container(&mut self, cgroup: &Arc<str>) -> Option<Arc<str>> {
        if let Some(known) = self.containers.get(cgroup) {
            return known.clone();
        }
        if self.containers.len() >= CGROUPS_KEPT {
            self.containers.clear();
        }
        let found: Option<Arc<str>> = container_id(cgroup).map(Arc::from);
        self.containers.insert(cgroup.clone(), found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use model::{Details, ExecId, ProcessInfo, Text};

    use super::*;

    #[test]
    fn as_it_was_at_that_moment_and_only_what_is_missing() {
        let id = ExecId { pid: 7, start_ns: 1 };
        let table = ProcessTable::default();
        let info = |exe: &str, cwd: &[u8]| {
            let cgroup = Some(format!("/docker/{}", "ab".repeat(32)).into());
            Arc::new(ProcessInfo { exe: Some(exe.into()), cwd: Some(Text::from_bytes(cwd)), cgroup })
        };
        table.change(id, BootNs(1), info("/bin/sh", b"/caf\xe9"));
        table.change(id, BootNs(50), info("/bin/true", b"/"));
        let mut enricher = Enricher::new(table);
        let fields = Details::Fields(serde_json::Map::new());
        let record = model::Record { at: model::Moment::Boot(BootNs(20)), identity: None, details: fields };
        let mut row = crate::normalize::row(&"t".into(), record, model::BootClock::default()).unwrap();
        enricher.enrich(&mut row, BootNs(20));
        assert_eq!(row.exe, None, "without an identity there is nobody to look up");
        row.exec_id = Some(id);
        enricher.enrich(&mut row, BootNs(20));
        assert_eq!(
            (row.exe.clone(), row.cwd.clone().unwrap().as_str()),
            (Some("/bin/sh".into()), "/caf\\xe9")
        );
        assert_eq!(row.extended.get("cwd_bytes").unwrap().to_plain(), "2f636166e9");
        assert_eq!(row.container_id.as_deref(), Some(&*"ab".repeat(32)));
        enricher.enrich(&mut row, BootNs(60));
        assert_eq!(row.exe, Some("/bin/sh".into()));
    }
}
