//! Shell and subprocess tracers of one's own, from nothing but their TOML, through the commands a person uses.

#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Agent, Scratch, Setup, binary, suite, until, workload};

const DEADLINE: Duration = Duration::from_secs(30);
/// Time in which a child ends whose output nobody reads.
const SOON: Duration = Duration::from_secs(5);

suite! {
    threads: 2;
    the_cache_is_shown_replaced_and_cleared: [];
    the_python_example_reports_each_new_line: [Python];
    the_rust_example_reports_each_new_file: [];
    an_example_child_ends_when_its_host_is_dead: [Python];
    the_shell_example_makes_fields_of_lines: [];
    a_flood_is_stored_whole_and_in_order: [];
    a_child_whose_output_nobody_reads_ends_and_counts_the_rest: []
}

/// The agent with these templates and no other tracers.
fn agent(folder: &Path, templates: &str) -> Setup {
    let file = folder.join("config.toml");
    fs::write(&file, templates).unwrap();
    let setup = Setup::new().set("ebpf.disabled", "true").set("tracer.uname.disabled", "true");
    setup.options(&["--config", file.to_str().unwrap()])
}

/// Waits until so many records of a tracer are stored.
fn stored(agent: &Agent, tracer: &str, count: u64) {
    until(&format!("{count} records of {tracer}"), DEADLINE, || {
        (agent.tracer(tracer)["stored"].as_u64()? >= count).then_some(())
    });
}

fn the_cache_is_shown_replaced_and_cleared() {
    let scratch = Scratch::new();
    let log = scratch.file("log", "one\ntwo\n");
    let template = format!(
        "[tracer.template.sh.log]\ncomm = [\"cat\", {log:?}]\nparse = \"lines\"\ninterval = \"50ms\"\n\
         [tracer.template.sp.child]\ncomm = [\"cat\"]\n"
    );
    let agent = agent(scratch.path(), &template).start();
    stored(&agent, "log", 2);
    let cache = |more: &[&str]| {
        agent.store().json(&[&["tracers", "cache", "log", "--format", "json"], more].concat())
    };
    assert_eq!(cache(&[]), json!({"tracer": "log", "output": "one\ntwo\n"}));
    let plain = agent.store().run(&["tracers", "cache", "log"]);
    assert_eq!(String::from_utf8(plain.stdout).unwrap(), "one\ntwo\n");
    // As if the last run had not shown the first line, then as if there had been none.
    let other = scratch.file("other", "two\n");
    cache(&["--load", other.to_str().unwrap()]);
    stored(&agent, "log", 3);
    cache(&["--clear"]);
    stored(&agent, "log", 5);
    for (tracer, message) in
        [("child", "only shell tracers have a cache"), ("none", "no shell tracer \"none\"")]
    {
        let refused = agent.store().run(&["tracers", "cache", tracer]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(message), "{refused:?}");
    }
    let agent = agent.finish();
    let rows = agent.store().query("log", &[]);
    let lines: Vec<&Value> = rows.iter().map(|row| &row["extended"]["line"]).collect();
    assert_eq!(lines, ["one", "two", "one", "one", "two"]);
}

/// An example from its TOML alone, but for where its files are here.
fn example(name: &str, settings: &[(&str, &str)]) -> Setup {
    let file = binary::workspace().join(format!("configs/examples/{name}.toml"));
    let mut setup = Setup::new().set("ebpf.disabled", "true").set("tracer.uname.disabled", "true");
    for (key, value) in settings {
        setup = setup.set(&format!("tracer.template.sp.{name}.{key}"), value);
    }
    setup.options(&["--config", file.to_str().unwrap()])
}

fn the_python_example_reports_each_new_line() {
    let scratch = Scratch::new();
    let log = scratch.file("log", "old\n");
    let (workspace, file) = (binary::workspace().to_str().unwrap(), log.to_str().unwrap());
    let agent = example("log_follower", &[("cwd", workspace), ("config.file", file)]).start();
    until("the child has begun", DEADLINE, || {
        (agent.tracer("log_follower")["detail"]["stdout"]["inits"] == 1).then_some(())
    });
    let mut appended = File::options().append(true).open(&log).unwrap();
    appended.write_all(b"one\ntwo \xff\nhalf a li").unwrap();
    stored(&agent, "log_follower", 2);
    appended.write_all(b"ne\nlast").unwrap();
    stored(&agent, "log_follower", 3);
    // What is new when it is told to stop is told, too.
    appended.write_all(b" one\n").unwrap();
    let agent = agent.finish();
    let rows = agent.store().query("log_follower", &[]);
    let lines: Vec<_> = rows.iter().map(|row| row["extended"]["line"].as_str().unwrap()).collect();
    assert_eq!(lines, ["one", "two \\xff", "half a line", "last one"]);
    assert_eq!(rows[1]["extended"]["line_bytes"], "74776f20ff");
    assert!(rows.iter().all(|row| row["fname"] == file));
}

fn the_rust_example_reports_each_new_file() {
    let scratch = Scratch::new();
    let folder = scratch.folder("watched");
    fs::write(folder.join("old"), "").unwrap();
    let comm = format!("[{:?}]", binary::example("folder_watcher").to_str().unwrap());
    let settings = [("comm", comm.as_str()), ("config.folder", folder.to_str().unwrap())];
    let agent = example("folder_watcher", &settings).start();
    until("the child has begun", DEADLINE, || {
        (agent.tracer("folder_watcher")["detail"]["stdout"]["inits"] == 1).then_some(())
    });
    fs::rename(scratch.file("a", "12345"), folder.join("a")).unwrap();
    stored(&agent, "folder_watcher", 1);
    fs::rename(scratch.file("b", ""), folder.join("b")).unwrap();
    let agent = agent.finish();
    let rows = agent.store().query("folder_watcher", &[]);
    assert_eq!(rows.len(), 2);
    for (row, (name, size)) in rows.iter().zip([("a", 5), ("b", 0)]) {
        assert_eq!(row["fname"], folder.join(name).to_str().unwrap());
        assert_eq!((&row["extended"]["size"], row["uid"].is_u64()), (&json!(size), true));
    }
}

/// Both hear nothing for longer than their patience, though their input stays open.
fn an_example_child_ends_when_its_host_is_dead() {
    let python = binary::workspace().join("configs/examples/log_follower.py");
    let mut follower = Command::new(workload::PYTHON);
    follower.arg(python);
    for mut command in [follower, Command::new(binary::example("folder_watcher"))] {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let init = json!({"type": "init", "payload": {"config": {"file": "/dev/null", "folder": "/", "patience": 1}}});
        writeln!(stdin, "{init}").unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!((&last["type"], &last["version"]), (&json!("stopped"), &json!("0.1.0")));
        drop(stdin);
    }
}

fn the_shell_example_makes_fields_of_lines() {
    // The default filter drops what happens to pseudo files, and most of these are theirs.
    let agent = example("mounts", &[]).set("filter.system.disabled", "true").start();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    stored(&agent, "mounts", mounts.lines().count() as u64);
    let agent = agent.finish();
    let rows = agent.store().query("mounts", &[]);
    for line in mounts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let found =
            rows.iter().find(|row| row["fname"] == fields[1] && row["extended"]["device"] == fields[0]);
        let found = found.unwrap_or_else(|| panic!("{line} is missing"));
        assert_eq!(found["extended"]["type"], fields[2]);
        assert_eq!(found["extended"]["dump"], 0);
    }
}

fn a_flood_is_stored_whole_and_in_order() {
    const EVENTS: u64 = 300_000;
    let scratch = Scratch::new();
    let comm = [
        binary::generator().display().to_string(),
        "flood".to_owned(),
        "--count".to_owned(),
        EVENTS.to_string(),
    ];
    let template = format!("[tracer.template.sp.flood]\ncomm = {comm:?}\n");
    let agent = agent(scratch.path(), &template).duetector_layout().start();
    stored(&agent, "flood", EVENTS);
    let agent = agent.finish();
    let account = agent.store().account("flood");
    assert_eq!((account.seen, account.stored, account.lost_total()), (EVENTS, EVENTS, 0));
    let database = rusqlite::Connection::open(agent.store().database()).unwrap();
    let find = "SELECT name FROM sqlite_master WHERE name LIKE 'duetector_tracking:flood@%'";
    let table: String = database.query_row(find, [], |row| row.get(0)).unwrap();
    let ordered = format!("SELECT count(*) FROM \"{table}\" WHERE json_extract(extended, '$.n') = id - 1");
    assert_eq!(database.query_row(&ordered, [], |row| row.get::<_, i64>(0)).unwrap(), EVENTS as i64);
}

/// As the child of a host that goes on polling it but has closed the reading end of its stdout.
fn a_child_whose_output_nobody_reads_ends_and_counts_the_rest() {
    let scratch = Scratch::new();
    let event =
        json!({"proto": "duetector", "version": "0.1.0", "type": "event", "payload": {"x": 1}}).to_string();
    let template =
        format!("[tracer.template.sp.flood]\ncomm = [\"yes\", {event:?}]\nkill_timeout = \"10ms\"\n");
    let config = scratch.file("config.toml", template);
    let mut command = Command::new(binary::agent());
    command.args(["child", "--tracer", "flood", "--host-reads", "always", "--config"]).arg(config);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", json!({"type": "init", "payload": {"config": {}}})).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"tracer_name\": \"flood\"")));
    drop(lines);
    until("the child's end", SOON, || {
        // The host is alive; after the end nobody reads this.
        let _ = writeln!(stdin, "{}", json!({"type": "event", "payload": {}}));
        child.try_wait().unwrap()
    });
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    let lost = last
        .strip_prefix("error: the parent program has closed our standard output: ")
        .and_then(|rest| rest.strip_suffix(" records could not be handed to it"));
    assert!(lost.is_some_and(|lost| lost.parse::<u64>().unwrap() > 0), "{said}");
}
