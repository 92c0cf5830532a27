//! The interfaces that others script against: exit codes, keys, defaults, with and without a running agent.

#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tests::workload::generate;
use tests::{Scratch, Setup, Store, suite};

/// Every key of a row, in the table's order (`model/src/schema.rs`, after the tracer).
const COLUMNS: [&str; 16] = [
    "tracer",
    "pid",
    "uid",
    "gid",
    "dt",
    "comm",
    "cwd",
    "fname",
    "extended",
    "tid",
    "ppid",
    "exec_id",
    "exe",
    "container_id",
    "ret",
    "count",
];

suite! {
    threads: 2;
    questions_need_no_agent: [Kernel];
    nothing_there_is_told: [];
    check_and_tracers_know_every_tracer: [Kernel];
    what_it_makes_is_its_owners_alone: [Kernel];
    jsonl_gets_every_row_the_store_gets: [Kernel]
}

fn ask(store: &Store, arguments: &[&str]) -> Vec<Value> {
    let all = [&["query", "--tracer", "open", "--where", "uid=9970", "--format", "json"], arguments].concat();
    store.json(&all).as_array().unwrap().clone()
}

fn questions_need_no_agent() {
    let agent = Setup::new().start();
    let file = agent.scratch().file("file", "");
    generate(9970, &["open", file.to_str().unwrap(), "--count", "50"]);
    // While it runs and after its end.
    assert_eq!(agent.store().account("open").tracer, "open");
    let agent = agent.finish();
    let store = agent.store();

    let all = ask(store, &["--limit", "0"]);
    assert_eq!(all.len(), 50);
    assert_eq!(ask(store, &[]).len(), 20, "the default limit");
    assert_eq!(ask(store, &["--limit", "7", "--start", "48"]).len(), 2);
    let mut keys: Vec<_> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut columns = COLUMNS.to_vec();
    keys.sort_unstable();
    columns.sort_unstable();
    assert_eq!(keys, columns);
    assert!(all.iter().all(|row| row["extended"].is_object()));

    let path = file.to_str().unwrap();
    assert_eq!(ask(store, &["--where", &format!("fname={path}"), "--where", "comm=nobody"]).len(), 0, "AND");
    let distinct = ask(store, &["--columns", "fname,uid", "--distinct", "--limit", "0"]);
    assert_eq!(distinct.len(), 1, "{distinct:?}");
    let newest = ask(store, &["--order-by", "dt", "--desc", "--limit", "1"]);
    let newest = newest[0]["dt"].as_str().unwrap();
    assert!(all.iter().all(|row| row["dt"].as_str().unwrap() <= newest));
    let oldest = all[0]["dt"].as_str().unwrap();
    assert_eq!(ask(store, &["--since", oldest, "--limit", "0"]).len(), 50);
    assert_eq!(ask(store, &["--until", "2000-01-01", "--limit", "0"]).len(), 0);
    let wrong = store.run(&["query", "--columns", "nonesuch"]);
    assert_eq!(wrong.status.code(), Some(2), "an unknown column is a usage error");
}

fn nothing_there_is_told() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path().join("nothing"));
    for command in ["status", "stop", "brief", "query"] {
        let output = store.run(&[command]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {told}");
        assert!(told.contains("nothing"), "{command} does not say where it looked: {told}");
        assert!(output.stdout.is_empty(), "{command} prints data where there is none");
    }
    assert!(!store.workdir().exists(), "a question made the work folder");
    assert_eq!(store.run(&["nonesuch"]).status.code(), Some(2));
}

fn check_and_tracers_know_every_tracer() {
    let agent = Setup::new().start();
    for command in ["check", "tracers"] {
        let told = agent.store().json(&[command, "--format", "json"]).to_string();
        for tracer in tests::catalog::built_in() {
            assert!(told.contains(&format!("\"{tracer}\"")), "{command} says nothing of {tracer}: {told}");
        }
    }
    agent.finish();
}

fn what_it_makes_is_its_owners_alone() {
    let scratch = Scratch::new();
    let work = scratch.path().join("deep/er/work");
    let agent = Setup::new().workdir(&work).start();
    let mode = |path: &std::path::Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&work), 0o700);
    for entry in std::fs::read_dir(&work).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{} is open to others", path.display());
    }
    agent.finish();
}

fn jsonl_gets_every_row_the_store_gets() {
    let scratch = Scratch::new();
    let lines = scratch.path().join("rows.jsonl");
    let agent = Setup::new()
        .set("ebpf.uids", "[9964]")
        .set("collector.jsonl.disabled", "false")
        .set("collector.jsonl.path", lines.to_str().unwrap())
        .start();
    let file = agent.scratch().file("file", "");
    generate(9964, &["open", file.to_str().unwrap(), "--count", "23"]);
    let agent = agent.finish();
    let text = std::fs::read_to_string(&lines).unwrap();
    let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.retain(|row| row["tracer"] == "open");
    assert_eq!(rows, agent.store().query("open", &[]));
    assert_eq!(rows.len(), 23);
}
