//! The interfaces that others script against: exit codes, keys, defaults, with and without a running agent.

#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use rusqlite::Connection;
use serde_json::Value;
use tests::workload::{generate, succeed};
use tests::{Scratch, Setup, Store, suite};

/// Every key of a row, in the table's order (`model/src/schema.rs`, after the tracer).
const COLUMNS: [&str; 18] = [
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
    "time",
    "boot_ns",
];

suite! {
    threads: 2;
    questions_need_no_agent: [Kernel];
    nothing_there_is_reported: [];
    sql_ends_at_its_limits_and_at_ctrl_c: [];
    answers_become_files: [Python];
    an_export_shows_its_progress_and_ends_at_ctrl_c: [Python];
    check_and_tracers_know_every_tracer: [Kernel];
    what_it_makes_is_its_owners_alone: [Kernel];
    jsonl_gets_every_row_the_store_gets: [Kernel];
    a_start_without_a_terminal_takes_ten_lines: [Kernel];
    brief_and_status_list_tracers_with_rows_and_all_lists_the_rest: [Kernel];
    users_have_names_in_tables_only: [Kernel];
    status_shows_filters_in_full_if_asked: [Kernel];
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
    let path = file.to_str().unwrap();
    let sql =
        format!("SELECT uid, count(*) AS opens FROM open WHERE uid = 9970 AND fname = '{path}' GROUP BY uid");
    assert_eq!(
        store.json(&["sql", &sql, "--format", "json"]),
        serde_json::json!([{"uid": 9970, "opens": 50}])
    );
    assert_eq!(ask(store, &["--limit", "7", "--start", "48"]).len(), 2);
    let mut keys: Vec<_> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut columns = COLUMNS.to_vec();
    keys.sort_unstable();
    columns.sort_unstable();
    assert_eq!(keys, columns);
    assert!(all.iter().all(|row| row["extended"].is_object()));

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

fn nothing_there_is_reported() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path().join("nothing"));
    let commands: [&[&str]; 5] = [&["status"], &["stop"], &["brief"], &["query"], &["sql", "SELECT 1"]];
    for command in commands {
        let output = store.run(command);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {shown}");
        assert!(shown.contains("nothing"), "{command:?} does not say where it looked: {shown}");
        assert!(output.stdout.is_empty(), "{command:?} prints data where there is none");
    }
    assert!(!store.workdir().exists(), "a question made the work folder");
    assert_eq!(store.run(&["nonesuch"]).status.code(), Some(2));
}

/// Makes a store of duetector's layout with so many rows.
fn with_rows(scratch: &Scratch, rows: u32) -> Store {
    let store = Store::at(scratch.folder("work"));
    let file = Connection::open(store.database()).unwrap();
    let sql = format!(
        "CREATE TABLE \"duetector_tracking:open@vm\" (id INTEGER PRIMARY KEY, dt DATETIME, fname TEXT);
         WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {rows})
         INSERT INTO \"duetector_tracking:open@vm\" SELECT x, '2026-01-31 12:00:00.000000', '/data/' || x FROM n"
    );
    file.execute_batch(&sql).unwrap();
    store
}

/// Runs a command with its stderr on a terminal. Its stdout is there, too, or is not read until `then` is printed and the command is
/// interrupted. Prints what the terminal shows, and exits with the command's code.
const ON_A_TERMINAL: &str = r#"
import os, pty, signal, subprocess, sys
then, command = sys.argv[1].encode(), sys.argv[2:]
terminal, inner = pty.openpty()
process = subprocess.Popen(command, stdout=subprocess.PIPE if then else inner, stderr=inner)
os.close(inner)
shown = b""
def more():
    global shown
    try:
        part = os.read(terminal, 4096)
    except OSError:
        part = b""
    shown += part
    return part
if then:
    while then not in shown and more():
        pass
    process.send_signal(signal.SIGINT)
    process.stdout.read()
while more():
    pass
print(shown.decode())
sys.exit(process.wait())
"#;

fn on_a_terminal(store: &Store, then: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(tests::workload::PYTHON);
    command.args(["-c", ON_A_TERMINAL, then]).arg(tests::binary::agent()).args(arguments);
    let output = command.arg("--workdir").arg(store.workdir()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn answers_become_files() {
    let scratch = Scratch::new();
    let store = with_rows(&scratch, 10);
    let path = scratch.path().join("answer");
    let ask = |format: &str| {
        let target = path.to_str().unwrap();
        store.run(&["sql", "SELECT fname FROM open", "--format", format, "--output", target])
    };
    let made = ask("csv");
    assert!(made.status.success() && made.stdout.is_empty());
    assert!(String::from_utf8_lossy(&made.stderr).starts_with("10 rows written to "));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 11);
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // What is there is not replaced.
    let refused = ask("parquet");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("exists: name another file"));
    std::fs::remove_file(&path).unwrap();
    assert!(ask("parquet").status.success());
    let piped = store.run(&["sql", "SELECT fname FROM open", "--format", "parquet"]).stdout;
    let file = std::fs::read(&path).unwrap();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    assert_eq!(piped, file);
    // Nothing is left of an answer that has no end.
    let late = "SELECT abs(CASE WHEN id = 9 THEN -9223372036854775808 ELSE id END) FROM open";
    let other = scratch.path().join("other");
    let failed = store.run(&["sql", late, "--format", "parquet", "--output", other.to_str().unwrap()]);
    assert!(!failed.status.success() && !other.exists());
    let left = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.map(|name| name.into_string().unwrap()).all(|name| !name.ends_with(".part")));
    let (code, shown) = on_a_terminal(&store, "", &["sql", "SELECT 1", "--format", "parquet"]);
    assert!(code == Some(2) && shown.contains("Parquet is not for terminals"), "{shown}");
}

fn an_export_shows_its_progress_and_ends_at_ctrl_c() {
    let scratch = Scratch::new();
    let store = with_rows(&scratch, 20_000);
    // As long as nobody reads its output, it goes on.
    let shown = "rows exported; Ctrl-C stops";
    let (code, shown) = on_a_terminal(&store, shown, &["export", "--format", "jsonl", "-"]);
    assert!(code == Some(1) && shown.contains("stopped before the end"), "{code:?}: {shown}");
}

fn sql_ends_at_its_limits_and_at_ctrl_c() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.folder("work"));
    let file = Connection::open(store.database()).unwrap();
    file.execute_batch(
        "CREATE TABLE \"duetector_tracking:open@vm\" (id INTEGER PRIMARY KEY, dt DATETIME, fname TEXT)",
    )
    .unwrap();
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT";
    let sum = format!("{endless} sum(x) FROM n");
    let large = "SELECT length(group_concat(zeroblob(1000000))) FROM json_each('[1,2,3,4,5,6,7,8,9,10]')";
    let refused: [(&[&str], i32, &str); 4] = [
        (&["sql", "--timeout", "50ms", &sum], 1, "--timeout"),
        (&["sql", "--memory", "8MiB", large], 1, "--memory"),
        (&["sql", "DELETE FROM open"], 2, "only SELECT"),
        (&["sql", "SELECT fnmae FROM open"], 2, "did you mean \"fname\"?"),
    ];
    for (arguments, code, words) in refused {
        let output = store.run(arguments);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown}");
        assert!(shown.contains(words), "{arguments:?}: {shown}");
    }

    let rows = format!("{endless} x FROM n");
    let mut command = Command::new(tests::binary::agent());
    command.args(["sql", "--format", "jsonl", "-", "--workdir"]).arg(store.workdir());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut asking = command.spawn().unwrap();
    asking.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    // Once there are rows, the statement runs. All of them are read, so that the program never waits for us.
    let mut out = BufReader::new(asking.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"x\":1}\n");
    kill(Pid::from_raw(i32::try_from(asking.id()).unwrap()), Signal::SIGINT).unwrap();
    std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    let output = asking.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), shown.trim()), (Some(1), "error: stopped before the end"));
}

fn check_and_tracers_know_every_tracer() {
    let agent = Setup::new().start();
    for command in ["check", "tracers"] {
        let shown = agent.store().json(&[command, "--format", "json"]).to_string();
        for tracer in tests::catalog::built_in() {
            assert!(shown.contains(&format!("\"{tracer}\"")), "{command} says nothing of {tracer}: {shown}");
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
        .set("ebpf.uids", "[9911]")
        .set("collector.jsonl.disabled", "false")
        .set("collector.jsonl.path", lines.to_str().unwrap())
        .start();
    let file = agent.scratch().file("file", "");
    generate(9911, &["open", file.to_str().unwrap(), "--count", "23"]);
    let agent = agent.finish();
    let text = std::fs::read_to_string(&lines).unwrap();
    let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.retain(|row| row["tracer"] == "open");
    assert_eq!(rows, agent.store().query("open", &[]));
    assert_eq!(rows.len(), 23);
}

/// Standard output of a command that must succeed.
fn text(store: &Store, arguments: &[&str]) -> String {
    let output = store.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// True if a table has a row that begins with this word.
fn lists(table: &str, tracer: &str) -> bool {
    table.lines().any(|line| line.split_whitespace().next() == Some(tracer))
}

fn a_start_without_a_terminal_takes_ten_lines() {
    let agent = Setup::new().start();
    let log = agent.log_of_the_start();
    assert!(log.lines().count() <= 10, "{log}");
    let count = tests::catalog::built_in().len();
    let store = agent.store().database();
    for part in [format!("recording attached={count} of={count}"), format!("path={}", store.display())] {
        assert!(log.contains(&part), "no {part:?} in the log:\n{log}");
    }
    assert!(!log.contains("sys_exit"), "hooks are for level debug:\n{log}");
    agent.finish();

    // Each level can still be asked for.
    let agent = Setup::new().variable("DUETECTOR_LOG", "debug").start();
    let log = agent.log_of_the_start();
    for part in ["tracer attached tracer=\"open\"", "hooks=[", "rows are stored"] {
        assert!(log.contains(part), "no {part:?} in the log:\n{log}");
    }
    agent.finish();
}

fn brief_and_status_list_tracers_with_rows_and_all_lists_the_rest() {
    let agent = Setup::new().set("ebpf.uids", "[9912]").start();
    let file = agent.scratch().file("file", "");
    generate(9912, &["open", file.to_str().unwrap(), "--count", "5"]);
    let store = agent.store();
    tests::until("rows are stored", std::time::Duration::from_secs(20), || {
        (agent.tracer("open")["stored"].as_u64() > Some(0)).then_some(())
    });
    let shown = text(store, &["status"]);
    assert!(lists(&shown, "open") && !lists(&shown, "module"), "{shown}");
    assert!(shown.contains("have seen nothing yet; `status --all` lists them too"), "{shown}");
    let shown = text(store, &["status", "--all"]);
    assert!(lists(&shown, "open") && lists(&shown, "module") && !shown.contains("seen nothing"), "{shown}");

    let agent = agent.finish();
    let store = agent.store();
    let shown = text(store, &["brief"]);
    assert!(lists(&shown, "open") && !lists(&shown, "module"), "{shown}");
    assert!(shown.contains("are not listed; `brief --all` lists them too"), "{shown}");
    let shown = text(store, &["brief", "--all"]);
    assert!(lists(&shown, "open") && lists(&shown, "module") && !shown.contains("not listed"), "{shown}");
    let listed = |arguments: &[&str]| store.json(arguments)["tracers"].as_array().unwrap().len();
    assert_eq!(listed(&["brief", "--format", "json"]), listed(&["brief", "--all", "--format", "json"]));
}

fn users_have_names_in_tables_only() {
    let agent = Setup::new().start();
    succeed(&mut Command::new("/bin/true"));
    let agent = agent.finish();
    let ask = |more: &[&str]| {
        let all = ["query", "--tracer", "exec", "--where", "uid=0", "--columns", "uid", "--distinct"];
        text(agent.store(), &[&all, more].concat())
    };
    let name = User::from_uid(Uid::from_raw(0)).unwrap().map_or("0".to_owned(), |user| user.name);
    assert_eq!(ask(&[]).split_whitespace().collect::<Vec<_>>(), ["uid", &name]);
    assert_eq!(ask(&["--numeric"]).split_whitespace().collect::<Vec<_>>(), ["uid", "0"]);
    for (format, expected) in
        [("json", "[\n{\"uid\":0}\n]\n"), ("jsonl", "{\"uid\":0}\n"), ("csv", "uid\n0\n")]
    {
        assert_eq!(ask(&["--format", format]), expected);
        assert_eq!(ask(&["--format", format, "--numeric"]), expected);
    }
}

fn status_shows_filters_in_full_if_asked() {
    let agent = Setup::new().start();
    let short = text(agent.store(), &["status"]);
    let line = short.lines().find(|line| line.starts_with("filter system: ")).unwrap();
    assert!(line.contains(" in the kernel, ") && line.ends_with(" in the collector)"), "{short}");
    assert!(!short.contains("/etc/ld.so.cache"), "{short}");
    let full = text(agent.store(), &["status", "--filters"]);
    for part in ["  in the kernel:    ", "  in the collector: ", "/etc/ld.so.cache"] {
        assert!(full.contains(part), "no {part:?} in:\n{full}");
    }
    agent.finish();
}
