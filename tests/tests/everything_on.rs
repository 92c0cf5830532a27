//! All built-in tracers at once, with defaults: each is attached, `check` says so beforehand, each records something,
//! and the accounts balance. This one test shows what a kernel must be able to do; it runs in virtual machines, too.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::workload::generate;
use tests::{Setup, Store, suite, until};

const UID: u32 = 9975;
const PATIENCE: Duration = Duration::from_secs(300);

suite! {
    threads: 1;
    every_built_in_tracer_attaches_and_records: [Kernel]
}

fn every_built_in_tracer_attaches_and_records() {
    let agent = Setup::new().start();
    let check = Store::at(agent.scratch().folder("unused")).json(&["check", "--format", "json"]);
    assert!(check.as_array().unwrap().iter().all(|finding| finding["ok"] == true), "{check:#}");
    let status = agent.status();
    let tracers = status["tracers"].as_array().unwrap();
    let attached = |name: &str| tracers.iter().any(|one| one["tracer"] == name && one["phase"] == "attached");
    for tracer in tests::catalog::built_in() {
        assert!(attached(&tracer), "{tracer} is not attached: {status:#}");
    }
    assert!(tracers.iter().all(|tracer| tracer["phase"] == "attached"), "{status:#}");

    let file = agent.scratch().file("opened", "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", "23"]);
    generate(UID, &["spawn", "/bin/true", "--count", "23"]);
    generate(UID, &["connect", "--address", "127.0.0.1", "--count", "23"]);
    let agent = agent.finish();
    the_kernel_still_works();

    let count = |tracer: &str, condition: &str| {
        agent.store().query(tracer, &[&format!("uid={UID}"), condition]).len()
    };
    assert_eq!(count("open", &format!("fname={}", file.display())), 23);
    assert_eq!(count("exec", "comm=true"), 23);
    assert_eq!(count("exit", "comm=true"), 23);
    assert_eq!(count("clone", "comm=generator"), 23);
    assert_eq!(count("connect", "comm=generator"), 23);
    assert_eq!(agent.store().query("uname", &[]).len(), 1);
    every_value_is_in_the_tables(agent.store());
}

/// Asserts that the kernel's queue `events` takes works, now that a stop has left hundreds of functions to be released: if all
/// were released at once, that queue of Linux 6.12 would be full for ever. Writing to this file runs a work on each processor
/// (`vmstat_refresh`).
fn the_kernel_still_works() {
    let mut refresh =
        Command::new("/bin/sh").args(["-c", "echo > /proc/sys/vm/stat_refresh"]).spawn().unwrap();
    let status = until("a work on each processor", PATIENCE, || refresh.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

/// Asserts that rows have only columns and fields that `docs/FIELDS.md` lists for their tracer, of the type it lists. A
/// test of the crate `model` compares the page with the tables in the code.
fn every_value_is_in_the_tables(store: &Store) {
    // Part of this program, because a virtual machine does not have the file.
    let page = include_str!("../../docs/FIELDS.md");
    let (columns, fields) = page.split_once("## Fields of").unwrap();
    let (columns, fields) = (listed(columns), listed(fields));
    let kernel = tests::catalog::kernel_tracers();
    for tracer in kernel.iter().map(String::as_str).chain(["loss", "manifest"]) {
        let writes = |tracers: &str| match tracers {
            "all" => true,
            names => names.split(", ").any(|name| match name {
                "kernel tracers" => kernel.iter().any(|kernel| kernel == tracer),
                name => name == tracer,
            }),
        };
        for row in store.query(tracer, &[]) {
            let values = row.as_object().unwrap().iter().filter(|(name, _)| *name != "extended");
            for (name, _) in values.filter(|(_, value)| !value.is_null()) {
                assert!(columns.get(&**name).is_some_and(|(_, tracers)| writes(tracers)), "{name}: {row:#}");
            }
            for (name, value) in row["extended"].as_object().unwrap() {
                let found =
                    fields.get(&**name).filter(|(kind, tracers)| writes(tracers) && fits(kind, value));
                assert!(found.is_some() || value.is_null(), "{tracer} writes {name}: {value}");
            }
        }
    }
}

/// Returns type and tracers of each name in a table of the page.
fn listed(table: &str) -> BTreeMap<&str, (&str, &str)> {
    let cells = table.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    let named = cells.filter_map(|cells| {
        let name = cells[0].strip_prefix("| `")?.strip_suffix('`')?;
        Some((name, (cells[1], cells[2])))
    });
    named.collect()
}

fn fits(kind: &str, value: &Value) -> bool {
    match kind {
        "Bool" => value.is_boolean(),
        "Utf8" | "Binary" | "Timestamp(us)" | "Timestamp(ns, UTC)" => value.is_string(),
        "Int32" | "Int64" => value.is_i64(),
        "UInt16" | "UInt32" | "UInt64" => value.is_u64(),
        list => list.starts_with("List(") && value.is_array(),
    }
}
