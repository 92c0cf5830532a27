//! Adds working directory, executable and container to rows that lack them. It asks the process table, never `/proc`:
//! by now the process may be gone or have executed another program.

pub mod runtime;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use model::container::Found;
use model::extended::Extra;
use model::process::FIRST_PID_NS;
use model::{ActField, BootNs, Cgroup, CgroupId, Container, Details, ProcessTable, Tracking};
use serde_json::Value;

use crate::normalize::keep_bytes;

/// Number of cgroups whose containers are remembered, and of bytes of their paths. Beyond it the cache is cleared.
const CGROUPS_KEPT: usize = 4096;
const CGROUP_BYTES: usize = 1 << 20;

/// Fills in fields from the process table.
#[derive(Debug)]
pub struct Enricher {
    processes: ProcessTable,
    cgroups: HashMap<CgroupId, Arc<Located>>,
    cgroup_bytes: usize,
    names: Option<runtime::Names>,
    descent: bool,
}

/// A cgroup's path, and the container it belongs to.
#[derive(Debug)]
struct Located {
    path: Arc<str>,
    container: Option<(Arc<str>, Arc<Container>)>,
    claimed: Option<Arc<str>>,
}

impl Located {
    fn new(cgroup: &Cgroup, table: &ProcessTable) -> Self {
        let containers = table.containers(cgroup);
        let container = containers.found.map(|found| {
            let Found { id, runtime, pod_uid } = found;
            (Arc::from(id), Arc::new(Container { runtime, pod_uid, ..Container::default() }))
        });
        Self { path: cgroup.path.clone(), container, claimed: containers.claimed.map(Arc::from) }
    }
}

impl Enricher {
    /// Makes an enricher that looks processes up in `processes`.
    pub fn new(processes: ProcessTable) -> Self {
        Self { processes, cgroups: HashMap::new(), cgroup_bytes: 0, names: None, descent: false }
    }

    /// Adds names and images of containers to rows, if `names` is given.
    pub fn set_names(&mut self, names: Option<runtime::Names>) {
        self.names = names;
    }

    /// Sets whether rows get the ancestors of their process.
    pub fn set_descent(&mut self, wanted: bool) {
        self.descent = wanted;
    }

    /// Fills in fields that the row lacks, as they were at `at`.
    pub fn enrich(&mut self, row: &mut Tracking, at: BootNs) {
        let process = row.exec_id.and_then(|id| self.processes.at(id, at));
        if let Some(process) = &process {
            if row.cwd.is_none() && process.cwd.is_some() {
                row.cwd.clone_from(&process.cwd);
                keep_bytes(&mut row.extended, "cwd_bytes", row.cwd.as_ref());
            }
            if row.exe.is_none() && process.exe.is_some() {
                row.exe.clone_from(&process.exe);
                keep_bytes(&mut row.extended, "exe_bytes", row.exe.as_ref());
            }
        }
        let of_process = process.and_then(|process| process.cgroup.clone());
        let cgroup = match row.extended.context.as_ref().map(|context| context.cgroup_id) {
            Some(id) => self.cgroup(id, of_process),
            None => of_process.map(|cgroup| Arc::new(Located::new(&cgroup, &self.processes))),
        };
        if let Some(cgroup) = cgroup {
            set_cgroup(row, &cgroup, self.names.as_ref());
        }
        if self.descent {
            row.ancestors = row.exec_id.and_then(|id| self.processes.lineage(id));
        }
        self.find_target(row, at);
    }

    /// Adds the identity of the process that a call acted on: the one that the kernel side has found, or else, because it had
    /// ended by then, the one that had the number. In another than the first pid namespace the number that the call was given
    /// becomes `target_ns_pid`, and `target_pid` is that of the first one, as all pids in rows.
    fn find_target(&self, row: &mut Tracking, at: BootNs) {
        let Details::Act(act) = &row.extended.details else { return };
        let found = act.target;
        let by_number = || {
            let (pid_ns, pid) = target_pid(row)?;
            Some((pid_ns, pid, self.processes.of_ns_pid(pid_ns, pid, at)?))
        };
        let known = found.map(|target| (FIRST_PID_NS, target.pid, target)).or_else(by_number);
        let Some((pid_ns, pid, target)) = known else { return };
        let mut add = |name, value| row.extended.extra.push((Cow::Borrowed(name), Extra::Value(value)));
        add("target_exec_id", Value::String(target.to_string()));
        if pid_ns == FIRST_PID_NS {
            return;
        }
        add("target_ns_pid", pid.into());
        if let Details::Act(act) = &mut row.extended.details {
            let given = act.fields.iter_mut().find(|(name, _)| *name == "target_pid");
            given.into_iter().for_each(|(_, value)| *value = ActField::Int(target.pid.into()));
        }
    }

    /// Returns the cgroup of that id. If its path is unknown, the cgroup of the process's leader is used.
    fn cgroup(&mut self, id: CgroupId, of_process: Option<Cgroup>) -> Option<Arc<Located>> {
        if let Some(known) = self.cgroups.get(&id) {
            return Some(known.clone());
        }
        let Some(found) = self.processes.cgroup(id) else {
            return of_process.map(|cgroup| Arc::new(Located::new(&cgroup, &self.processes)));
        };
        if self.cgroups.len() >= CGROUPS_KEPT || self.cgroup_bytes + found.path.len() > CGROUP_BYTES {
            self.cgroups.clear();
            self.cgroup_bytes = 0;
        }
        self.cgroup_bytes += found.path.len();
        let cgroup = Arc::new(Located::new(&found, &self.processes));
        self.cgroups.insert(id, cgroup.clone());
        Some(cgroup)
    }
}

/// Returns the process that a call acted on, as its pid in a pid namespace: the caller's, or the initial one where the call
/// had a pidfd.
fn target_pid(row: &Tracking) -> Option<(u32, u32)> {
    let Details::Act(act) = &row.extended.details else { return None };
    let own = row.extended.context.as_ref().map(|context| context.pid_ns)?;
    let pid_ns = if INITIAL.contains(&act.call) { FIRST_PID_NS } else { own };
    let was_there = act.ret != NO_SUCH_PROCESS;
    let (_, pid) = act.fields.iter().find(|(name, _)| was_there && *name == "target_pid")?;
    let pid = match pid {
        // Zero and negative numbers mean a group of processes, or all.
        ActField::Int(pid) if *pid > 0 => u32::try_from(*pid).ok(),
        ActField::Uint(pid) => u32::try_from(*pid).ok(),
        _ => None,
    };
    Some((pid_ns, pid?))
}

/// Calls that report the pid of the initial pid namespace: it is that of a process behind a pidfd.
const INITIAL: [&str; 4] = ["pidfd_getfd", "pidfd_send_signal", "process_madvise", "setns"];

/// The return value `-ESRCH`.
const NO_SUCH_PROCESS: i64 = -3;

fn set_cgroup(row: &mut Tracking, cgroup: &Located, names: Option<&runtime::Names>) {
    if let Some(context) = &mut row.extended.context {
        context.cgroup = Some(cgroup.path.clone());
        context.container_claimed.clone_from(&cgroup.claimed);
        context.container = cgroup.container.as_ref().map(|(id, container)| {
            names.and_then(|names| names.of(id, container)).unwrap_or_else(|| container.clone())
        });
    }
    if row.container_id.is_none() {
        row.container_id = cgroup.container.as_ref().map(|(id, _)| id.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::schema::COLUMNS;
    use model::{Act, ExecId, ProcessInfo, Text};

    use super::*;
    use crate::filter::{ANCESTORS, ENRICHED};

    #[test]
    fn only_missing_fields_are_filled_as_of_the_given_time() {
        let id = ExecId { pid: 7, start_ns: 1 };
        let table = ProcessTable::default();
        let info = |exe: &str, cwd: &[u8]| {
            let cgroup = Some(format!("/docker/{}", "ab".repeat(32)).into());
            Arc::new(ProcessInfo { exe: Some(exe.into()), cwd: Some(Text::from_bytes(cwd)), cgroup })
        };
        table.change(id, BootNs(1), info("/bin/sh", b"/caf\xe9"));
        table.change(id, BootNs(50), info("/bin/true", b"/"));
        let mut enricher = Enricher::new(table.clone());
        let fields = Details::Fields(serde_json::Map::new());
        let record = model::Record { at: model::Moment::Boot(BootNs(20)), identity: None, details: fields };
        let mut row = crate::normalize::row(&"t".into(), record, &model::Clocks::default()).unwrap();
        enricher.enrich(&mut row, BootNs(20));
        assert_eq!(row.exe, None, "without an identity there is no process to look up");
        row.exec_id = Some(id);
        let cgroup_id = CgroupId { hierarchy: 4, id: 9 };
        row.extended.context = Some(model::extended::ProcessContext {
            cgroup_id,
            cgroup: None,
            container: None,
            container_claimed: None,
            pid_ns: 1,
            mnt_ns: 1,
            net_ns: None,
            login: [None; 2],
            ruid: None,
            fsuid: None,
            ns_pid: 7,
        });
        enricher.enrich(&mut row, BootNs(20));
        assert_eq!(
            (row.exe.clone(), &*row.cwd.clone().unwrap().to_str()),
            (Some("/bin/sh".into()), "/caf\\xe9")
        );
        assert_eq!(row.extended.get("cwd_bytes").unwrap().to_plain(), "2f636166e9");
        assert_eq!(row.container_id.as_deref(), Some(&*"ab".repeat(32)), "as its process's leader");
        row.container_id = None;
        table.learn_cgroup(cgroup_id, &"/lxc/web".into());
        enricher.enrich(&mut row, BootNs(20));
        assert_eq!(row.container_id.as_deref(), Some("web"), "as its own cgroup");
        assert_eq!(row.extended.get("cgroup").unwrap().to_plain(), "/lxc/web");
        assert_eq!(row.extended.get("container_runtime").unwrap().to_plain(), "lxc");
        enricher.enrich(&mut row, BootNs(60));
        assert_eq!(row.exe, Some("/bin/sh".into()));
    }

    #[test]
    fn the_target_process_of_a_call_is_found() {
        let id = ExecId { pid: 7, start_ns: 1 };
        let table = ProcessTable::default();
        table.change(id, BootNs(1), Arc::new(ProcessInfo { exe: None, cwd: None, cgroup: None }));
        table.is_numbered(id, 5, 2);
        let mut enricher = Enricher::new(table);
        let mut target = |call, pid, ret, pid_ns| {
            let fields = vec![("target_pid", ActField::Int(pid))];
            let act = Act { call, path: None, path_incomplete: false, fields, ret, file: None, target: None };
            let details = Details::Act(Box::new(act));
            let record = model::Record { at: model::Moment::Boot(BootNs(20)), identity: None, details };
            let mut row = crate::normalize::row(&"kill".into(), record, &model::Clocks::default()).unwrap();
            row.extended.context = Some(model::extended::ProcessContext {
                cgroup_id: CgroupId { hierarchy: 0, id: 9 },
                cgroup: None,
                container: None,
                container_claimed: None,
                pid_ns,
                mnt_ns: 1,
                net_ns: None,
                login: [None; 2],
                ruid: None,
                fsuid: None,
                ns_pid: 7,
            });
            enricher.enrich(&mut row, BootNs(20));
            let field = |name| row.extended.get(name).map(|field| field.to_plain().into_owned());
            if let Some(inner) = field("target_ns_pid") {
                assert_eq!([inner, field("target_pid").unwrap()], ["2", "7"]);
            }
            field("target_exec_id")
        };
        let known = Some("7-1".to_owned());
        assert_eq!(target("kill", 7, 0, FIRST_PID_NS), known);
        assert_eq!(target("kill", 7, -1, FIRST_PID_NS), known, "denied");
        assert_eq!(target("pidfd_send_signal", 7, 0, 5), known);
        assert_eq!(target("kill", 7, 0, 5), None, "another namespace's number");
        assert_eq!(target("kill", 2, 0, 5), known, "its number in its namespace");
        assert_eq!(target("ptrace", 2, -1, 5), known, "denied in its namespace");
        assert_eq!(target("kill", 2, 0, 6), None, "a third namespace");
        assert_eq!(target("kill", -7, 0, FIRST_PID_NS), None, "a group");
        assert_eq!(target("kill", 7, NO_SUCH_PROCESS, FIRST_PID_NS), None);
    }

    /// Returns the names of the columns and fields that the row has.
    fn present(row: &Tracking) -> BTreeSet<String> {
        let columns = COLUMNS.iter().filter(|column| row.value(**column).to_plain().is_some());
        let mut names: BTreeSet<String> = columns.map(|column| column.name().to_owned()).collect();
        row.extended.visit(|name, _| {
            names.insert(name.to_owned());
        });
        names
    }

    #[test]
    fn filters_wait_for_exactly_what_enrichment_adds() {
        let id = ExecId { pid: 1, start_ns: 1 };
        let table = ProcessTable::default();
        let pod = "kubepods-pod5c1a5a1e_6f4f_4c6c_9a53_0c2b3f6f7a11.slice";
        let [own, claimed] = ["ab", "cd"].map(|byte| byte.repeat(32));
        let cgroup = format!("/kubepods.slice/{pod}/cri-containerd-{own}.scope/docker-{claimed}.scope");
        let cgroup = Cgroup::new(cgroup, &[1000]);
        let text = || Some(Text::from_bytes(b"/caf\xe9"));
        table.change(id, BootNs(1), Arc::new(ProcessInfo { exe: text(), cwd: text(), cgroup: Some(cgroup) }));
        table.is_numbered(id, 5, 2);
        let mut enricher = Enricher::new(table);
        enricher.set_descent(true);
        let fields = vec![("target_pid", ActField::Int(2))];
        let act = Act {
            call: "kill",
            path: None,
            path_incomplete: false,
            fields,
            ret: 0,
            file: None,
            target: None,
        };
        let details = Details::Act(Box::new(act));
        let record = model::Record { at: model::Moment::Boot(BootNs(20)), identity: None, details };
        let mut row = crate::normalize::row(&"kill".into(), record, &model::Clocks::default()).unwrap();
        row.exec_id = Some(id);
        row.extended.context = Some(model::extended::ProcessContext {
            cgroup_id: CgroupId { hierarchy: 0, id: 9 },
            cgroup: None,
            container: None,
            container_claimed: None,
            pid_ns: 5,
            mnt_ns: 1,
            net_ns: None,
            login: [None; 2],
            ruid: None,
            fsuid: None,
            ns_pid: 1,
        });
        let before = present(&row);
        enricher.enrich(&mut row, BootNs(20));
        // The container's runtime answers later.
        let context = row.extended.context.as_mut().unwrap();
        let container = Container::clone(context.container.as_deref().unwrap());
        let (name, image) = (Some("web".into()), Some("nginx".into()));
        context.container = Some(Arc::new(Container { name, image, ..container }));
        let mut added: BTreeSet<String> = present(&row).difference(&before).cloned().collect();
        let target = row.extended.get("target_pid").map(|field| field.to_plain().into_owned());
        assert_eq!(target.as_deref(), Some("1"), "changed");
        added.insert("target_pid".to_owned());
        if row.ancestors.is_some() {
            added.insert(ANCESTORS.to_owned());
        }
        assert_eq!(added, ENRICHED.iter().map(|name| (*name).to_owned()).collect());
    }
}
