//! Records a script that opens one file exactly 101 times: 101 complete rows, read here and by Python duetector.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::workload::{python, succeed};
use tests::{Agent, Setup, suite};

const UID: u32 = 9926;

/// 100 times for append, once for reading, by a relative path.
const SCRIPT: &str = "
import os
for _ in range(100):
    with open('somefile', 'a') as file: file.write('x')
with open('somefile') as file: assert len(file.read()) == 100
print(os.getpid())
";

suite! {
    threads: 1;
    a_hundred_and_one_opens_are_a_hundred_and_one_rows: [Kernel, Python];
    python_duetector_reads_the_same: [Kernel, Python, Duetector]
}

/// Runs the script under an agent with its defaults; gives the stopped agent and the script's pid.
fn record() -> (Agent, i64) {
    record_with(Setup::new())
}

fn record_with(setup: Setup) -> (Agent, i64) {
    let agent = setup.start();
    let folder = agent.scratch().folder("data");
    let output = python(UID, &folder, SCRIPT, &[]);
    let pid = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    (agent.finish(), pid)
}

fn a_hundred_and_one_opens_are_a_hundred_and_one_rows() {
    let (agent, pid) = record();
    let folder = agent.scratch().path().join("data");
    let file = folder.join("somefile");
    let meta = file.metadata().unwrap();
    let python = Path::new(tests::workload::PYTHON).canonicalize().unwrap();

    let rows = agent.store().query("open", &["uid=9926", "comm=python3"]);
    let rows: Vec<_> = rows.iter().filter(|row| row["fname"] == file.to_str().unwrap()).collect();
    assert_eq!(rows.len(), 101);

    for row in &rows {
        let seen = json!([row["pid"], row["tid"], row["gid"], row["comm"], row["cwd"], row["exe"]]);
        assert_eq!(seen, json!([pid, pid, UID, "python3", folder, python]));
        assert!(row["ret"].as_i64().unwrap() >= 0, "{row}");
        let extended = &row["extended"];
        let file = json!([extended["path_asked"], extended["dev"], extended["ino"], extended["file_type"]]);
        assert_eq!(file, json!(["somefile", meta.dev(), meta.ino(), "regular"]));
    }
    let append = json!(["O_WRONLY", "O_CREAT", "O_APPEND", "O_CLOEXEC"]);
    let read = json!(["O_RDONLY", "O_CLOEXEC"]);
    let with = |flags: &Value| rows.iter().filter(|row| row["extended"]["flags"] == *flags).count();
    assert_eq!((with(&append), with(&read)), (100, 1));
    let mut times: Vec<_> = rows.iter().map(|row| row["dt"].as_str().unwrap()).collect();
    let stored = times.clone();
    times.sort_unstable();
    assert_eq!(times, stored, "rows of one thread are not in the order of their opens");
}

fn python_duetector_reads_the_same() {
    let (agent, _) = record_with(Setup::new().duetector_layout());
    let file = agent.scratch().path().join("data/somefile");
    let venv = env::var_os("DUETECTOR_TEST_VENV").unwrap();
    let script = tests::binary::workspace().join("tests/python/dbanalyzer.py");
    let mut command = Command::new(Path::new(&venv).join("bin/python"));
    command.arg(script).arg(agent.store().database()).args(["uid=9926", "comm=python3"]);
    let answer: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();

    let rows = answer["rows"].as_array().unwrap();
    let of_file: Vec<_> = rows.iter().filter(|row| row["fname"] == file.to_str().unwrap()).collect();
    assert_eq!(of_file.len(), 101);
    let inode = file.metadata().unwrap().ino();
    assert!(of_file.iter().all(|row| row["ino"] == inode && row["uid"] == UID && row["dt"] != "None"));

    // Their brief and ours count the same rows in the same tables.
    let theirs = answer["brief"].as_object().unwrap();
    for ours in agent.store().brief().into_iter().filter(|account| account.count > 0) {
        let name = format!("{}@{}", ours.tracer, ours.collector_id);
        assert_eq!(theirs[&name]["count"], ours.count, "{name}");
    }
}
