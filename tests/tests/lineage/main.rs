//! `lineage` finds each flow that a program has made, and none that the order of time forbids.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use serde_json::Value;
use tests::workload::python;
use tests::{Setup, Store, suite};

const UID: u32 = 9971;
const FLOWS: &str = include_str!("flows.py");
const WAYS: usize = 30;

suite! {
    threads: 1;
    every_flow_is_found_and_none_that_time_forbids: [Kernel, Python, Uring]
}

/// A flow of the program.
struct Flow {
    way: String,
    source: String,
    target: String,
    is_true: bool,
}

fn every_flow_is_found_and_none_that_time_forbids() {
    let setup = Setup::new().set("ebpf.uids", &format!("[{UID}]"));
    let agent = setup.start();
    let folder = agent.scratch().folder("flows");
    let output = python(UID, &folder, FLOWS, &[]);
    let agent = agent.finish();
    let flows: Vec<Flow> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .map(flow)
        .collect();
    assert_eq!(flows.len(), WAYS);
    let wrong: Vec<String> = flows.iter().filter_map(|flow| complaint(agent.store(), flow)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn flow(line: Value) -> Flow {
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    Flow {
        way: text("way"),
        source: text("source"),
        target: text("target"),
        is_true: line["is_true"] == true,
    }
}

/// Returns what is wrong with the answers about a flow.
fn complaint(store: &Store, Flow { way, source, target, is_true }: &Flow) -> Option<String> {
    let down = store.json(&["lineage", source, "--format", "json"]);
    let up = store.json(&["lineage", "--up", target, "--format", "json"]);
    let both = store.json(&["lineage", source, "--to", target, "--format", "json"]);
    let found = [has(&down, target), has(&up, source), both["reached"] == true];
    (found != [*is_true; 3]).then(|| format!("{way}: down, up, between: {found:?}, expected {is_true}"))
}

/// Returns whether an answer has a node with this name.
fn has(answer: &Value, name: &str) -> bool {
    let names = |node: &Value| {
        let others = node["other_names"].as_array().cloned().unwrap_or_default();
        others.into_iter().chain([node["name"].clone()]).any(|other| other == name)
    };
    answer["nodes"].as_array().unwrap().iter().any(names)
}
