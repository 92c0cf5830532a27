//! The ledger's bytes and calls, by process and file, against what the programs say themselves (fio) or what ptrace
//! counted (`byte_count`): to the byte, whichever way the bytes went. The same for all calls that common programs make.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod fio;
mod programs;
mod workloads;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tests::{Agent, Setup, Store, suite};
use workloads::{LARGE, RUNTIMES, SMALL};

suite! {
    threads: 1;
    what_programs_move_is_what_is_recorded: [Kernel, Python, Movers, Setpriv];
    what_fio_reports_is_what_is_recorded: [Kernel, Movers];
    what_tar_rsync_sqlite_and_python_call_is_what_is_recorded: [Kernel, Python, Movers, Setpriv, Sqlite];
    what_git_vim_and_gcc_call_is_what_is_recorded: [Kernel, Setpriv, Developing];
    what_node_and_java_call_is_what_is_recorded: [Kernel, Setpriv, Runtimes]
}

/// Process, inode, direction.
type Key = (i64, u64, String);
/// Bytes and calls.
type Sums = BTreeMap<Key, (u64, u64)>;

fn what_programs_move_is_what_is_recorded() {
    let (agent, folder) = start(programs::UID, &["usage"]);
    let expected = programs::run(&folder);
    let recorded_sums = recorded(&agent.finish(), programs::UID, &folder);
    assert_same(&expected, &recorded_sums);
}

fn what_fio_reports_is_what_is_recorded() {
    let (agent, folder) = start(fio::UID, &["usage"]);
    let expected = fio::run(&folder);
    let recorded_sums = recorded(&agent.finish(), fio::UID, &folder);
    // fio tells what its jobs did, not which of its processes they were.
    let mut by_file = Sums::new();
    for ((_, ino, direction), (bytes, calls)) in recorded_sums {
        let sum = by_file.entry((0, ino, direction)).or_default();
        *sum = (sum.0 + bytes, sum.1 + calls);
    }
    assert_same(&expected, &by_file);
}

fn what_tar_rsync_sqlite_and_python_call_is_what_is_recorded() {
    calls_are_recorded(SMALL);
}

fn what_git_vim_and_gcc_call_is_what_is_recorded() {
    calls_are_recorded(LARGE);
}

fn what_node_and_java_call_is_what_is_recorded() {
    calls_are_recorded(RUNTIMES);
}

fn calls_are_recorded(workloads: &[(&'static str, &'static str)]) {
    let (agent, folder) = start(workloads::UID, &[workloads::TRACERS, &["usage"]].concat());
    let expected = workloads::run(&folder, workloads);
    workloads::compare(&agent.finish(), &expected);
}

fn start(uid: u32, tracers: &[&str]) -> (Agent, std::path::PathBuf) {
    let setup = Setup::new().set("ebpf.uids", &format!("[{uid}]")).set("filter.system.disabled", "true");
    let agent = setup.only(tracers).start();
    let folder = agent.scratch().folder("data");
    (agent, folder)
}

/// Returns sums over the ledger's rows of that user about files below that folder.
fn recorded(agent: &Agent, uid: u32, folder: &Path) -> Sums {
    let is_below =
        |row: &Value| row["fname"].as_str().is_some_and(|path| Path::new(path).starts_with(folder));
    sums(agent.store(), uid, is_below)
}

/// Returns sums over those of the ledger's rows of that user that pass.
fn sums(store: &Store, uid: u32, passes: impl Fn(&Value) -> bool) -> Sums {
    assert_eq!(store.account("usage").lost_total(), 0);
    let mut sums = Sums::new();
    for row in store.query("usage", &[&format!("uid={uid}")]) {
        if !passes(&row) {
            continue;
        }
        let number = |name: &str| row["extended"][name].as_u64();
        for direction in ["read", "written", "mapped"] {
            let Some(bytes) = number(&format!("bytes_{direction}")) else { continue };
            let calls = number(&format!("calls_{direction}")).unwrap();
            let key = (row["pid"].as_i64().unwrap(), number("ino").unwrap(), direction.to_owned());
            let sum = sums.entry(key).or_default();
            *sum = (sum.0 + bytes, sum.1 + calls);
        }
    }
    sums
}

fn assert_same(expected: &Sums, recorded_sums: &Sums) {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(recorded_sums.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(*key) != recorded_sums.get(*key));
    let differ: Vec<_> = differ
        .map(|key| format!("{key:?}: {:?}, recorded {:?}", expected.get(key), recorded_sums.get(key)))
        .collect();
    assert!(differ.is_empty(), "(process, inode, direction): (bytes, calls) differ\n{}", differ.join("\n"));
    assert!(!expected.is_empty(), "there was nothing to compare");
}

fn field(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}
