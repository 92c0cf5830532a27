//! The ledger's bytes and calls, by process and file, against what the programs say themselves (fio) or what ptrace
//! counted (`byte_count`): to the byte, whichever way the bytes went.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod fio;
mod programs;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tests::{Agent, Setup, suite};

suite! {
    threads: 1;
    what_programs_move_is_what_is_recorded: [Kernel, Python, Movers];
    what_fio_reports_is_what_is_recorded: [Kernel, Movers]
}

/// Process, inode, direction.
type Key = (i64, u64, String);
/// Bytes and calls.
type Sums = BTreeMap<Key, (u64, u64)>;

fn what_programs_move_is_what_is_recorded() {
    let (agent, folder) = start(programs::UID);
    let expected = programs::run(&folder);
    let recorded_sums = recorded(&agent.finish(), programs::UID, &folder);
    assert_same(&expected, &recorded_sums);
}

fn what_fio_reports_is_what_is_recorded() {
    let (agent, folder) = start(fio::UID);
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

fn start(uid: u32) -> (Agent, std::path::PathBuf) {
    let setup = Setup::new().set("ebpf.uids", &format!("[{uid}]")).set("filter.system.disabled", "true");
    let agent = setup.start();
    let folder = agent.scratch().folder("data");
    (agent, folder)
}

/// Sums over the ledger's rows of that user about files below that folder.
fn recorded(agent: &Agent, uid: u32, folder: &Path) -> Sums {
    assert_eq!(agent.store().account("usage").lost_total(), 0);
    let mut sums = Sums::new();
    for row in agent.store().query("usage", &[&format!("uid={uid}")]) {
        if !row["fname"].as_str().is_some_and(|path| Path::new(path).starts_with(folder)) {
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
