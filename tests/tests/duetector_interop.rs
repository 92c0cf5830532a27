//! Python duetector and we, each as the other's host: it runs our kernel tracers as its child and stores what they
//! tell; our agent runs a child made of its own message classes. And our agent as the host of ourselves.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};
use tests::duetector::{self, Duectl};
use tests::workload::{python, succeed};
use tests::{Scratch, Setup, binary, suite, until};

const UID: u32 = 9999;
const TRIGGERED: usize = 23;
const PATIENCE: Duration = Duration::from_secs(30);

suite! {
    threads: 1;
    python_duetector_hosts_our_kernel_tracers: [Kernel, Python, Duetector];
    a_burst_reaches_python_duetector_whole: [Kernel, Python, Duetector];
    a_child_that_can_trace_nothing_takes_its_leave: [Duetector];
    a_host_that_is_killed_takes_its_child_with_it: [Kernel, Duetector];
    our_agent_hosts_python_duetectors_child: [Duetector];
    a_configuration_of_duetectors_works_as_it_is: [Kernel, Python, Duetector];
    what_python_duetector_stored_is_imported_and_exported_again: [Kernel, Python, Duetector];
    our_agent_hosts_our_child: [Kernel, Python]
}

/// Python duetector with `child` and these options; only what the workload's user does is told.
fn host(options: &[&str]) -> Duectl {
    let agent = binary::agent().to_str().unwrap();
    let users = ["--set", "ebpf.uids=[9999]"];
    let duectl = Duectl::start(&[&[agent, "child"], options, &users].concat());
    for name in options.iter().skip(1).step_by(2).filter(|name| !name.contains("no-such")) {
        duectl.until_log(&format!("tracer attached tracer=\"{name}\""));
    }
    duectl
}

/// Opens that file so often, as the workload's user; gives the process id.
fn open(folder: &Path, times: usize) -> i64 {
    let script =
        format!("import os\nfor i in range({times}): open(f'file-{{i}}', 'w').close()\nprint(os.getpid())");
    let output = python(UID, folder, &script, &[]);
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn python_duetector_hosts_our_kernel_tracers() {
    let mut duectl = host(&["--tracer", "open", "--tracer", "exec"]);
    let folder = duectl.scratch().folder("data");
    let pid = open(&folder, TRIGGERED);
    let echo = Path::new("/bin/echo").canonicalize().unwrap();
    for number in 0..TRIGGERED {
        let mut command = Command::new("/bin/echo");
        succeed(command.arg(format!("number {number}")).current_dir(&folder).uid(UID).gid(UID));
    }
    let own = |row: &Map<String, Value>| {
        row["fname"].as_str().is_some_and(|name| name.starts_with(folder.to_str().unwrap()))
    };
    let is_echo = |row: &Map<String, Value>| row["extended"]["argv"][0] == "/bin/echo";
    duectl.until_rows("open", TRIGGERED, own);
    duectl.until_rows("exec", TRIGGERED, is_echo);
    duectl.stop();

    let mut opens: Vec<_> = duectl.rows("open").into_iter().filter(own).collect();
    opens.sort_by_key(|row| {
        row["fname"].as_str().unwrap()[folder.to_str().unwrap().len() + 6..].parse::<u32>().unwrap()
    });
    assert_eq!(opens.len(), TRIGGERED);
    let python = Path::new(tests::workload::PYTHON).canonicalize().unwrap();
    for (number, row) in opens.iter().enumerate() {
        let name = format!("file-{number}");
        let seen = json!([row["pid"], row["uid"], row["gid"], row["comm"], row["cwd"], row["fname"]]);
        assert_eq!(seen, json!([pid, UID, UID, "python3", folder, folder.join(&name)]));
        let extended = &row["extended"];
        let seen =
            json!([extended["tracer_name"], extended["path_asked"], extended["exe"], extended["file_type"]]);
        assert_eq!(seen, json!(["open", name, python, "regular"]));
        assert_eq!(extended["flags"], json!(["O_WRONLY", "O_CREAT", "O_TRUNC", "O_CLOEXEC"]));
        assert_eq!(row["dt"].as_str().unwrap().len(), "2026-11-23 02:08:35.535361".len(), "{row:?}");
    }
    let execs: Vec<_> = duectl.rows("exec").into_iter().filter(is_echo).collect();
    assert_eq!(execs.len(), TRIGGERED);
    for row in &execs {
        let seen = json!([row["uid"], row["comm"], row["cwd"], row["fname"], row["extended"]["ret"]]);
        assert_eq!(seen, json!([UID, "echo", folder, echo, 0]));
    }
    let mut said: Vec<_> = execs.iter().map(|row| row["extended"]["argv"][1].as_str().unwrap()).collect();
    let mut expected: Vec<_> = (0..TRIGGERED).map(|number| format!("number {number}")).collect();
    said.sort_unstable();
    expected.sort_unstable();
    assert_eq!(said, expected);
    assert!(!duectl.log().contains("Traceback"), "{}", duectl.log());
}

/// Written at once, of a hundred events 64 to 78 would arrive.
fn a_burst_reaches_python_duetector_whole() {
    let mut duectl = host(&["--tracer", "open", "--tracer", "exec"]);
    let folder = duectl.scratch().folder("data");
    let own = |row: &Map<String, Value>| {
        row["fname"].as_str().is_some_and(|name| name.starts_with(folder.to_str().unwrap()))
    };
    open(&folder, 100);
    duectl.until_rows("open", 100, own);
    duectl.stop();
    let mut names: Vec<_> =
        duectl.rows("open").into_iter().filter(own).map(|row| row["fname"].to_string()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 100);
    assert!(!duectl.log().contains("Invalid json: {"), "{}", duectl.log());
}

/// Checks that a child that can trace nothing writes `stopped` and waits to be asked: a child that simply exits would
/// make `duectl` hang.
fn a_child_that_can_trace_nothing_takes_its_leave() {
    let mut duectl = host(&["--tracer", "no-such-tracer"]);
    // It may be gone before anybody could see it.
    duectl.until_log("no such tracer");
    let lives = |child: &u32| Path::new(&format!("/proc/{child}/exe")).exists();
    until("the child is gone", PATIENCE, || (!duectl.children().iter().any(lives)).then_some(()));
    duectl.stop();
}

fn a_host_that_is_killed_takes_its_child_with_it() {
    let duectl = host(&["--tracer", "open"]);
    let child = duectl.child_pid();
    drop(duectl);
    let gone = || kill(Pid::from_raw(child as i32), None::<Signal>).is_err();
    until("the child is gone", PATIENCE, || gone().then_some(()));
}

fn our_agent_hosts_python_duetectors_child() {
    let script = binary::workspace().join("tests/python/dummy_child.py");
    let comm = json!([duetector::program("python"), script, TRIGGERED.to_string()]);
    let agent = Setup::new()
        .set("ebpf.disabled", "true")
        .set("tracer.uname.disabled", "true")
        .set("tracer.template.sp.dummy.comm", &comm.to_string())
        .set("tracer.template.sp.dummy.poll_interval", "\"50ms\"")
        .start();
    until("all events are stored", PATIENCE, || (agent.tracer("dummy")["stored"] == TRIGGERED).then_some(()));
    let lines = agent.tracer("dummy")["detail"]["stdout"].clone();
    let agent = agent.finish();
    let rows = agent.store().query("dummy", &[]);
    let seen: Vec<_> = rows.iter().map(|row| json!([row["comm"], row["extended"]])).collect();
    let expected: Vec<_> =
        (0..TRIGGERED).rev().map(|left| json!(["dummy", {"extra": "nothing", "left": left}])).collect();
    assert_eq!(seen, expected);
    assert_eq!(json!([lines["inits"], lines["events"]]), json!([1, TRIGGERED]), "{lines}");
}

/// The one that duetector itself makes, with another place for the store and the test's folder not hidden.
fn a_configuration_of_duetectors_works_as_it_is() {
    let scratch = Scratch::new();
    let (config, work) = (scratch.path().join("duetector.toml"), scratch.path().join("work"));
    succeed(Command::new(duetector::program("duectl")).args(["generate-config", "--path"]).arg(&config));
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("sqlite:///", &format!("sqlite:///{}/", work.display()));
    std::fs::write(&config, text.replace("statis_id = \"\"", "statis_id = \"inplace\"")).unwrap();

    let config = config.to_str().unwrap();
    let agent = Setup::new().workdir(&work).options(&["--config", config]).start();
    let folder = scratch.folder("data");
    let pid = open(&folder, TRIGGERED);
    let agent = agent.finish();
    let log = agent.stderr();
    assert_eq!(log.matches("monitor.subprocess.pool_size: has no equivalent").count(), 1, "{log}");

    let rows = agent.store().query("do_sys_openat2", &["uid=9999"]);
    let own = rows.iter().filter(|row| row["fname"].as_str().unwrap().starts_with(folder.to_str().unwrap()));
    assert_eq!(own.filter(|row| row["pid"] == pid).count(), TRIGGERED);
    let script = binary::workspace().join("tests/python/dbanalyzer.py");
    let mut analyzer = Command::new(duetector::program("python"));
    let answer = succeed(analyzer.arg(script).arg(agent.store().database()));
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["brief"]["do_sys_openat2@inplace"]["count"], rows.len());

    // Its translation is the same.
    let ours = scratch.path().join("ours.toml");
    let ours = ours.to_str().unwrap();
    let output = agent.store().run(&["config", "import", config, "--output", ours]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("monitor.subprocess.pool_size: has no equivalent")
    );
    let values = |config: &str| {
        let shown = agent.store().json(&["config", "show", "--format", "json", "--config", config]);
        let settings =
            shown.as_array().unwrap().iter().map(|setting| json!([setting["key"], setting["value"]]));
        settings.collect::<Vec<_>>()
    };
    assert_eq!(values(config), values(ours));
    assert_eq!(agent.store().run(&["config", "import", ours]).status.code(), Some(2));
}

fn what_python_duetector_stored_is_imported_and_exported_again() {
    let mut duectl = host(&["--tracer", "open"]);
    let folder = duectl.scratch().folder("data");
    open(&folder, TRIGGERED);
    let mine = folder.to_str().unwrap().to_owned();
    duectl.until_rows("open", TRIGGERED, |row| {
        row["fname"].as_str().is_some_and(|name| name.starts_with(&mine))
    });
    duectl.stop();
    let scratch = Scratch::new();
    let store = tests::Store::at(scratch.path().join("work"));
    std::fs::create_dir(store.workdir()).unwrap();
    // As `start` makes it.
    std::fs::set_permissions(store.workdir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let theirs = store.workdir().join("duetector-dbcollector.sqlite3");
    std::fs::copy(duectl.database(), &theirs).unwrap();
    let beside = store.query("open", &[]);
    assert!(beside.len() >= TRIGGERED);

    let (theirs, total) = (theirs.to_str().unwrap(), beside.len());
    let run = |arguments: &[&str], code: i32| {
        let output = store.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        (String::from_utf8(output.stdout).unwrap(), errors)
    };
    let (said, _) = run(&["store", "import", theirs], 0);
    assert_eq!(said, format!("open@{}: {total} rows\n{total} rows imported\n", duetector::COLLECTOR));
    assert_eq!(run(&["store", "import", theirs], 0).0, format!("already imported, {total} rows\n"));
    // The file is still beside the store, and each row is shown once, as before.
    assert_eq!(store.query("open", &[]), beside);
    assert_eq!(store.account("open").count as usize, total);
    std::fs::rename(theirs, scratch.path().join("theirs")).unwrap();
    assert_eq!(store.query("open", &[]), beside, "read from the store alone");

    let target = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (sqlite, lines) = (target("sqlite"), target("lines"));
    run(&["export", "--format", "sqlite", &sqlite], 0);
    let script = binary::workspace().join("tests/python/dbanalyzer.py");
    let exported = format!("{sqlite}/duetector-dbcollector.sqlite3");
    let mut analyzer = Command::new(duetector::program("python"));
    let answer = succeed(analyzer.arg(script).arg(&exported));
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["brief"][format!("open@{}", duetector::COLLECTOR)]["count"], total);
    let names = |rows: &[Value], ino: &dyn Fn(&Value) -> Value| {
        let mut names: Vec<_> = rows.iter().map(|row| json!([row["fname"], ino(row)]).to_string()).collect();
        names.sort_unstable();
        names
    };
    let theirs_now = names(answer["rows"].as_array().unwrap(), &|row| row["ino"].clone());
    assert_eq!(theirs_now, names(&beside, &|row| row["extended"]["ino"].clone()));
    run(&["export", "--format", "jsonl", "--where", "fname.endsWith('/file-1')", &lines], 0);
    let text = std::fs::read_to_string(format!("{lines}/open.jsonl")).unwrap();
    let row: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&row["collector_id"], text.lines().count()), (&duetector::COLLECTOR.into(), 1));
    assert_eq!(run(&["export", "--format", "csv", "--tracer", "open", "-"], 0).0.lines().count(), total + 1);
    // Nothing is overwritten.
    assert!(run(&["export", "--format", "csv", &lines], 1).1.contains("is not empty"));
    assert_eq!(std::fs::read_to_string(format!("{lines}/open.jsonl")).unwrap(), text);
    run(&["export", "--format", "sqlite", "-"], 2);
}

fn our_agent_hosts_our_child() {
    let comm = json!([
        binary::agent(),
        "child",
        "--tracer",
        "open",
        "--name-prefix",
        "child_",
        "--set",
        "ebpf.uids=[9999]"
    ]);
    let agent = Setup::new()
        .set("ebpf.uids", "[9999]")
        .set("tracer.uname.disabled", "true")
        .set("tracer.template.sp.inner.comm", &comm.to_string())
        .set("tracer.template.sp.inner.heartbeat", "\"3s\"")
        .start();
    let folder = agent.scratch().folder("data");
    let names = |tracer: &str| {
        let rows = agent.store().query(tracer, &["uid=9999", "comm=python3"]);
        let names = rows.iter().filter_map(|row| row["fname"].as_str());
        let mut own: Vec<_> =
            names.filter(|name| name.starts_with(folder.to_str().unwrap())).map(str::to_owned).collect();
        own.sort_unstable();
        own
    };
    until("the child records", PATIENCE, || {
        open(&folder, 1);
        (!names("child_open").is_empty()).then_some(())
    });
    open(&folder, 5000);
    // The first name was opened more often, before the child recorded too.
    let once = |tracer: &str| {
        let mut names = names(tracer);
        names.retain(|name| !name.ends_with("/file-0"));
        names
    };
    until("the child has told all", PATIENCE, || (once("child_open").len() == 4999).then_some(()));
    assert_eq!(once("child_open"), once("open"));
    // It has nothing to say, and says that it lives.
    let polls = || agent.tracer("inner")["detail"]["polls"].as_u64().unwrap();
    let then = polls() + 10;
    until("the child has been polled for longer than its heartbeat", PATIENCE, || {
        (polls() > then).then_some(())
    });
    assert_eq!(agent.tracer("inner")["detail"]["starts"], 1);
    agent.finish();
}
