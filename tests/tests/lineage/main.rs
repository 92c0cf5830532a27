//! `lineage` finds each flow that a program has made, and none that the order of time forbids.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tests::workload::{PYTHON, python, succeed};
use tests::{Scratch, Setup, Store, duetector, suite};

const UID: u32 = 9971;
const FLOWS: &str = concat!(include_str!("../../python/generator.py"), include_str!("flows.py"));
const OVERLAY: &str = include_str!("overlay.py");
const WAYS: usize = 31;

/// Reads PROV-JSON as another program does; prints the number of records.
const READ_PROV: &str = "
import sys
from prov.serializers.provjson import ProvJSONSerializer
document = ProvJSONSerializer().deserialize(sys.stdin)
print(len(document.get_records()))";

/// Checks events, one in a line, with the schema; prints their number.
const CHECK_EVENTS: &str = "
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
events = [json.loads(line) for line in sys.stdin]
[validator.validate(event) for event in events]
print(len(events))";

suite! {
    threads: 1;
    every_flow_is_found_and_none_that_time_forbids: [Kernel, Python, Uring];
    flows_through_the_layers_of_an_overlay: [Kernel, Python];
    other_programs_read_the_formats: [Kernel, Python, Duetector];
    what_touches_an_answer_is_named_and_nothing_else: [Kernel, Python]
}

/// A flow of the program.
struct Flow {
    way: String,
    source: String,
    target: String,
    is_true: bool,
}

fn setup() -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{UID}]"))
}

fn every_flow_is_found_and_none_that_time_forbids() {
    let agent = setup().start();
    let folder = agent.scratch().folder("flows");
    let output = python(UID, &folder, FLOWS, &[]);
    let agent = agent.finish();
    let flows = flows(&output);
    assert_eq!(flows.len(), WAYS);
    check(agent.store(), &flows);
    only_what_was_copied_is_proven(agent.store(), &flows);
    // The same from segments: from their rows, from the files that this makes, and if one of these is damaged.
    succeed_with(&agent.store().run(&["store", "seal"]));
    let sealed: Vec<PathBuf> = edge_files(agent.store());
    assert_eq!(sealed, Vec::<PathBuf>::new());
    check(agent.store(), &flows);
    let made = edge_files(agent.store());
    assert_eq!(made.len(), 1);
    let bytes = std::fs::read(&made[0]).unwrap();
    check(agent.store(), &flows[..3]);
    std::fs::write(&made[0], &bytes[..bytes.len() / 2]).unwrap();
    check(agent.store(), &flows[..3]);
    assert!(std::fs::read(&made[0]).unwrap() == bytes);
    succeed_with(&agent.store().run(&["store", "verify"]));
}

fn only_what_was_copied_is_proven(store: &Store, flows: &[Flow]) {
    let flow = flows.iter().find(|flow| flow.way == "copied_and_thrown_away").unwrap();
    let answer = store.json(&["lineage", &flow.source, "--format", "json"]);
    let copies = answer["edges"].as_array().unwrap().iter().filter(|edge| edge["kind"] == "copy");
    let ends: Vec<&str> = copies.map(|edge| edge["to"].as_str().unwrap()).collect();
    assert!(matches!(ends[..], [end] if end.ends_with("/0")), "{ends:?}");
}

fn flows_through_the_layers_of_an_overlay() {
    let agent = setup().start();
    let folder = agent.scratch().folder("overlay");
    let mut command = Command::new("unshare");
    command.args(["--mount", PYTHON, "-c", OVERLAY, &UID.to_string()]).current_dir(folder);
    let output = succeed(&mut command);
    let agent = agent.finish();
    check(agent.store(), &flows(&output));
}

fn other_programs_read_the_formats() {
    let agent = setup().start();
    let folder = agent.scratch().folder("formats");
    let script = "open('copy', 'wb').write(open('source', 'rb').read()); import os; os.link('copy', 'link')";
    std::fs::write(folder.join("source"), [7; 3000]).unwrap();
    python(UID, &folder, script, &[]);
    let agent = agent.finish();
    let source = folder.join("source");
    let ask = |format: &str| {
        let output = agent.store().run(&["lineage", source.to_str().unwrap(), "--both", "--format", format]);
        succeed_with(&output);
        output.stdout
    };
    let answer: Value = serde_json::from_slice(&ask("json")).unwrap();
    let nodes = answer["nodes"].as_array().unwrap();
    assert!(has(&answer, folder.join("copy").to_str().unwrap()), "{answer:#}");
    let records: usize = with_python(READ_PROV, &[], &ask("prov"));
    assert!(records > nodes.len(), "{records}");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lineage/OpenLineage.json");
    let events: usize = with_python(CHECK_EVENTS, &[schema.to_str().unwrap()], &ask("openlineage"));
    let processes = nodes.iter().filter(|node| node["kind"] == "process").count();
    assert_eq!(events, 2 * processes);
    for (format, beginning) in [("dot", "digraph"), ("svg", "<svg "), ("mermaid", "flowchart")] {
        assert!(ask(format).starts_with(beginning.as_bytes()), "{format}");
    }
    // Each node of the answer is in the tree.
    let tree = String::from_utf8(ask("tree")).unwrap();
    for name in nodes.iter().map(|node| node["name"].as_str().unwrap()) {
        assert!(tree.contains(name), "{name} is not in {tree}");
    }
    assert!(!tree.contains("not shown"), "{tree}");
}

/// Copies a file and says when it has done so.
const COPY: &str = "
import datetime
open('copy', 'wb').write(open('source', 'rb').read())
print(datetime.datetime.now().astimezone().isoformat())";
/// Opens and changes a file so often that records are lost.
const FLOOD: &str = "
import os
for _ in range(100000):
    os.close(os.open('source', os.O_RDONLY))
    os.chmod('copy', 0o600)";

fn what_touches_an_answer_is_named_and_nothing_else() {
    let tracers = ["open", "usage", "exec", "clone", "exit", "attr"];
    let scratch = Scratch::new();
    let (folder, work) = (scratch.folder("losses"), scratch.path().join("work"));
    std::fs::write(folder.join("source"), [7; 3000]).unwrap();
    // The time of a loss begins when the agent has last counted losses: the copy is made while another agent runs.
    let run = |setup: Setup, script| {
        let agent = setup.only(&tracers).workdir(&work).start();
        let output = python(UID, &folder, script, &[]);
        (agent.finish_run(), String::from_utf8(output.stdout).unwrap())
    };
    let (_, copied) = run(setup(), COPY);
    let flooded = setup().set("ebpf.data_ring", "\"64KiB\"").set("ebpf.sample", "16");
    let (agent, _) = run(flooded, FLOOD);
    let source = folder.join("source");
    let ask = |words: &[&str]| {
        let words = [&["lineage", source.to_str().unwrap(), "--format", "json"], words].concat();
        agent.store().json(&words)
    };
    let answer = ask(&[]);
    let text = |of: &Value| of["tracer"].as_str().unwrap_or("all").to_owned();
    let list = |answer: &Value, what: &str| answer[what].as_array().unwrap().clone();
    // Both were lost, but changes of attributes carry no data.
    for tracer in ["open", "attr"] {
        assert!(agent.store().account(tracer).lost_total() > 0, "{tracer}");
    }
    let mut gaps = list(&answer, "gaps");
    // Between the two agents.
    gaps.retain(|gap| gap["cause"] != "no agent was running");
    assert!(gaps.iter().all(|gap| tracers[..5].contains(&text(gap).as_str())), "{gaps:?}");
    let open = gaps.iter().filter(|gap| text(gap) == "open");
    let lost: u64 = open.map(|gap| gap["count"].as_u64().unwrap()).sum();
    assert_eq!(lost, agent.store().account("open").lost_total(), "{gaps:?}");
    // Of tracers that lineage needs, those that did not run are blind spots.
    let blind: BTreeSet<String> = list(&answer, "blind").iter().map(text).collect();
    for missing in ["ptrace", "truncate", "rename", "connect", "ipc"] {
        assert!(blind.contains(missing), "{missing} is not in {blind:?}");
    }
    assert!(!blind.contains("attr") && !blind.contains("kill"), "{blind:?}");
    assert_eq!([&answer["complete"], &answer["lossless"]], [false, false]);
    // Before anything was lost, the copy was made.
    let before = ask(&["--until", copied.trim()]);
    assert!(has(&before, folder.join("copy").to_str().unwrap()), "{before:#}");
    assert_eq!((list(&before, "gaps"), &before["lossless"]), (Vec::new(), &Value::Bool(true)));
}

/// Runs a script of the virtual environment; returns the number that it prints.
fn with_python(script: &str, arguments: &[&str], input: &[u8]) -> usize {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let mut command = Command::new(duetector::program("python"));
    command.args(["-c", script]).args(arguments).stdin(file.reopen().unwrap());
    String::from_utf8(succeed(&mut command).stdout).unwrap().trim().parse().unwrap()
}

fn edge_files(store: &Store) -> Vec<PathBuf> {
    let segments = store.workdir().join("segments").read_dir().unwrap();
    let segments = segments.map(|segment| segment.unwrap().path().join("lineage.edges"));
    segments.filter(|path| path.exists()).collect()
}

fn succeed_with(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn flows(output: &Output) -> Vec<Flow> {
    let lines = output.stdout.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).map(flow).collect()
}

fn flow(line: Value) -> Flow {
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    let [way, source, target] = ["way", "source", "target"].map(text);
    Flow { way, source, target, is_true: line["is_true"] == true }
}

fn check(store: &Store, flows: &[Flow]) {
    let wrong: Vec<String> = flows.iter().filter_map(|flow| complaint(store, flow)).collect();
    assert!(!flows.is_empty() && wrong.is_empty(), "{}", wrong.join("\n"));
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
