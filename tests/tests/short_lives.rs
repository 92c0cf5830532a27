//! Records processes whole that are gone before anyone could examine them.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tests::workload::{generate, python};
use tests::{Setup, suite};

const COUNT: u64 = 500;

suite! {
    threads: 1;
    five_hundred_short_lives_are_complete: [Kernel];
    exits_have_code_and_signal: [Kernel, Python]
}

fn five_hundred_short_lives_are_complete() {
    let agent = Setup::new().start();
    let done = generate(9998, &["spawn", "/bin/true", "--count", "500"]);
    let agent = agent.finish();
    let generator = &done["pid"];

    let execs = of_true(agent.store().query("exec", &["uid=9998"]));
    let exits = of_true(agent.store().query("exit", &["uid=9998"]));
    assert_eq!((execs.len() as u64, exits.len() as u64), (COUNT, COUNT));

    let exe = Path::new("/bin/true").canonicalize().unwrap();
    let mut lives = BTreeMap::new();
    for row in &execs {
        assert_eq!(row["extended"]["argv"], json!(["/bin/true"]), "{row}");
        assert_eq!(json!([row["ppid"], row["exe"], row["gid"]]), json!([generator, exe, 9998]), "{row}");
        assert_eq!(row["pid"], row["tid"]);
        lives.insert(row["exec_id"].as_str().unwrap().to_owned(), row["pid"].clone());
    }
    assert_eq!(lives.len() as u64, COUNT, "two lives with one identity");
    for row in &exits {
        let id = row["exec_id"].as_str().unwrap();
        assert_eq!(lives.get(id), Some(&row["pid"]), "an exit of another life: {row}");
        assert_eq!(json!([row["ppid"], row["exe"]]), json!([generator, exe]), "{row}");
        assert_eq!(json!([row["extended"]["code"], row["extended"]["signal"]]), json!([0, 0]), "{row}");
        assert!(row["extended"]["duration_ns"].as_u64().unwrap() > 0, "{row}");
    }
    let clones = agent.store().query("clone", &["uid=9998", &format!("pid={generator}")]);
    let children: BTreeSet<_> =
        clones.iter().filter_map(|row| row["extended"]["child_exec_id"].as_str()).collect();
    let ids: BTreeSet<_> = lives.keys().map(String::as_str).collect();
    assert_eq!(children, ids, "parent and child tell different stories");
}

fn of_true(rows: Vec<Value>) -> Vec<Value> {
    rows.into_iter().filter(|row| row["comm"] == "true").collect()
}

fn exits_have_code_and_signal() {
    let script = "
import os, signal
for end in (lambda: os._exit(7), lambda: os.kill(os.getpid(), signal.SIGKILL)):
    pid = os.fork()
    if pid == 0: end()
    os.waitpid(pid, 0)
";
    let agent = Setup::new().start();
    python(9997, agent.scratch().path(), script, &[]);
    let agent = agent.finish();
    let rows = agent.store().query("exit", &["uid=9997"]);
    let ends: Vec<_> =
        rows.iter().map(|row| json!([row["extended"]["code"], row["extended"]["signal"]])).collect();
    assert_eq!(ends, [json!([7, 0]), json!([0, 9]), json!([0, 0])]);
}
