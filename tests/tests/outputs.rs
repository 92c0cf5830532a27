//! Outputs that are removed, moved, rotated or truncated while the agent runs: it notices, says so, goes on with a new one,
//! and counts what was lost with the old one.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde_json::Value;
use tests::workload::{generate, generator};
use tests::{Agent, Setup, suite, until};

const UID: u32 = 9921;
const SOON: Duration = Duration::from_secs(60);
/// Gives an agent a store.
type Enable = fn(Setup) -> Setup;
/// Sinks with the role of the store, and how an agent gets each.
const STORES: [(&str, Enable); 2] = [("sqlite", Setup::duetector_layout), ("store", |setup| setup)];

suite! {
    // Each agent records what the other tests' programs do, too: they have the same user.
    threads: 1;
    a_store_that_is_removed_is_made_again_and_its_rows_count_as_lost: [Kernel];
    a_store_that_is_moved_keeps_its_rows_and_a_new_one_gets_the_rest: [Kernel];
    a_store_whose_log_is_removed_loses_nothing: [Kernel];
    a_removed_work_folder_is_made_again: [Kernel];
    an_additional_output_has_the_same_rows_and_they_are_shown_once: [Kernel];
    a_lines_file_is_rotated_by_others: [Kernel];
    a_removed_lines_file_is_made_again_and_its_rows_count_as_lost: [Kernel];
    a_named_pipe_under_the_name_of_an_output_is_not_waited_for: [Kernel];
}

/// Starts an agent that records only opens, of one user only.
fn agent() -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{UID}]")).set("tracer.uname.disabled", "true")
}

fn open(agent: &Agent, count: u64) {
    let file = agent.scratch().file("file", "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", &count.to_string()]);
}

/// Waits until the sink has opened its output so many times anew, and returns its state.
fn reopened(agent: &Agent, sink: &str, times: u64) -> Value {
    until("the sink has opened another output", SOON, || {
        let state = agent.actor(&format!("sink:{sink}"))["state"].clone();
        (state["reopened"] == times).then_some(state)
    })
}

fn stored(agent: &Agent) -> u64 {
    agent.tracer("open")["stored"].as_u64().unwrap()
}

/// The rows of opens in a store.
fn rows(database: &Path) -> u64 {
    let store = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let table = "SELECT name FROM sqlite_master WHERE name LIKE 'duetector_tracking:open@%'";
    let table: Option<String> = store.query_row(table, (), |row| row.get(0)).optional().unwrap();
    let count = match table {
        Some(table) => format!("SELECT count(*) FROM \"{table}\""),
        None => {
            "SELECT sum(rows) FROM batch JOIN stream ON stream.id = stream WHERE tracer = 'open'".to_owned()
        }
    };
    store.query_row(&count, (), |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

fn with_log(database: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| format!("{}{suffix}", database.display()).into())
}

/// Lets opens go on, and does something in the middle.
fn in_the_middle_of_opens(agent: &Agent, act: impl FnOnce()) {
    let file = agent.scratch().file("file", "");
    let count = tests::suite::share(10_000).to_string();
    let arguments = ["open", file.to_str().unwrap(), "--count", &count];
    let mut child = generator(UID, &arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    until("some rows are stored", SOON, || (stored(agent) > 1000).then_some(()));
    act();
    assert!(child.wait().unwrap().success());
}

fn a_store_that_is_removed_is_made_again_and_its_rows_count_as_lost() {
    STORES.into_iter().for_each(|(sink, with_store)| remove(sink, with_store));
}

fn remove(sink: &str, with_store: fn(Setup) -> Setup) {
    let agent = with_store(agent()).start();
    let database = agent.store().database();
    in_the_middle_of_opens(&agent, || {
        with_log(&database).iter().for_each(|file| fs::remove_file(file).unwrap())
    });
    let state = reopened(&agent, sink, 1);
    assert!(state["last_reopened"].as_str().unwrap().contains("was removed"), "{state}");
    open(&agent, 40);
    let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(shown.contains("output opened again"), "{shown}");
    // Rows and accounts agree to the row: what was in the old file counts as lost.
    let agent = agent.finish();
    let account = agent.store().account("open");
    assert!(account.lost.sink > 1000 && account.stored >= 40, "{account:?}");
    let brief = agent.store().brief();
    let lost: u64 = brief.iter().map(|account| account.lost.sink).sum();
    assert_eq!(Some(lost), state["lost_with_output"].as_u64());
    let losses = agent.store().query("loss", &[]);
    let reported: u64 = losses.iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(reported, brief.iter().map(tests::Account::lost_total).sum::<u64>(), "{losses:?}");
    assert!(losses.iter().any(|row| row.to_string().contains("was removed")), "{losses:?}");
}

fn a_store_that_is_moved_keeps_its_rows_and_a_new_one_gets_the_rest() {
    STORES.into_iter().for_each(|(sink, with_store)| move_away(sink, with_store));
}

fn move_away(sink: &str, with_store: fn(Setup) -> Setup) {
    let agent = with_store(agent()).start();
    let (database, aside) = (agent.store().database(), agent.store().workdir().join("aside"));
    // The log stays behind, as when somebody moves only the file that he knows.
    in_the_middle_of_opens(&agent, || fs::rename(&database, &aside).unwrap());
    let state = reopened(&agent, sink, 1);
    assert!(state["last_reopened"].as_str().unwrap().ends_with("/aside"), "{state}");
    open(&agent, 40);
    let agent = agent.finish_run();
    let account = agent.store().account("open");
    assert_eq!((account.lost.sink, state["lost_with_output"].as_u64()), (0, Some(0)));
    let (old, new) = (rows(&aside), rows(&database));
    assert!(old > 1000 && new >= 40, "{old} {new}");
    assert_eq!(old + new, account.stored, "{old} in the old file, {new} in the new one");
}

fn a_store_whose_log_is_removed_loses_nothing() {
    STORES.into_iter().for_each(|(sink, with_store)| remove_log(sink, with_store));
}

fn remove_log(sink: &str, with_store: fn(Setup) -> Setup) {
    let agent = with_store(agent()).start();
    let database = agent.store().database();
    in_the_middle_of_opens(&agent, || fs::remove_file(&with_log(&database)[1]).unwrap());
    let state = reopened(&agent, sink, 1);
    assert_eq!(state["lost_with_output"], 0, "{state}");
    open(&agent, 40);
    let agent = agent.finish();
    assert_eq!(agent.store().account("open").lost.sink, 0);
}

fn a_removed_work_folder_is_made_again() {
    let agent = agent().start();
    let workdir = agent.store().workdir().to_owned();
    open(&agent, 100);
    until("rows are stored", SOON, || (stored(&agent) >= 100).then_some(()));
    fs::remove_dir_all(&workdir).unwrap();
    let database = agent.store().database();
    until("the store is there again", SOON, || database.exists().then_some(()));
    open(&agent, 40);
    let mut agent = agent;
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.stderr.contains("was removed"), "{}", ended.stderr);
    agent.store().assert_conserved_to_the_row();
}

/// The rows of opens in a file of JSON lines, each of which must be whole.
fn lines(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["tracer"] == "open").count() as u64
}

fn a_lines_file_is_rotated_by_others() {
    let agent = agent().set("collector.jsonl.disabled", "false").start();
    let file = agent.store().workdir().join("duetector-tracking.jsonl");
    let moved = agent.store().workdir().join("moved");
    in_the_middle_of_opens(&agent, || {
        fs::rename(&file, &moved).unwrap();
        agent.signal(Signal::SIGHUP);
        until("there is a new file", SOON, || file.exists().then_some(()));
    });
    let state = reopened(&agent, "jsonl", 1);
    assert!(state["last_reopened"].as_str().unwrap().ends_with("/moved"), "{state}");
    let agent = agent.finish_run();
    let account = agent.store().account("open");
    assert_eq!(lines(&moved) + lines(&file), account.seen - account.filtered - account.lost.ring);
}

fn a_removed_lines_file_is_made_again_and_its_rows_count_as_lost() {
    let agent =
        agent().set("collector.jsonl.disabled", "false").set("collector.store.disabled", "true").start();
    let file = agent.store().workdir().join("duetector-tracking.jsonl");
    in_the_middle_of_opens(&agent, || fs::remove_file(&file).unwrap());
    let state = reopened(&agent, "jsonl", 1);
    let lost = state["lost_with_output"].as_u64().unwrap();
    assert!(lost > 1000, "{state}");
    // Truncated, as by logrotate with `copytruncate`: noticed too, and no hole at the beginning of the file.
    until("all rows are written", SOON, || (agent.tracer("open")["in_flight"] == 0).then_some(()));
    let (kept, stored) = (lines(&file), stored(&agent));
    assert_eq!(kept, stored, "the rest is in the new file");
    fs::write(&file, "").unwrap();
    let state = reopened(&agent, "jsonl", 2);
    assert!(state["last_reopened"].as_str().unwrap().contains("truncated"), "{state}");
    open(&agent, 40);
    until("all rows are written", SOON, || (lines(&file) >= 40).then_some(()));
    let mut agent = agent;
    assert!(agent.stop(Signal::SIGTERM).status.success());
}

/// Opening a named pipe waits for a reader, if it is not asked not to.
fn a_named_pipe_under_the_name_of_an_output_is_not_waited_for() {
    let agent = agent().set("collector.jsonl.disabled", "false").start();
    let file = agent.store().workdir().join("duetector-tracking.jsonl");
    open(&agent, 40);
    until("rows are written", SOON, || (lines(&file) == 40).then_some(()));
    fs::rename(&file, agent.store().workdir().join("moved")).unwrap();
    mkfifo(&file, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let refused = until("the pipe is refused", SOON, || {
        let sink = agent.actor("sink:jsonl");
        let text = sink.to_string();
        text.contains("regular file").then_some(text)
    });
    assert!(refused.contains("duetector-tracking.jsonl"), "{refused}");
    // The store does not wait either.
    open(&agent, 40);
    until("rows are stored", SOON, || (stored(&agent) >= 80).then_some(()));
    fs::remove_file(&file).unwrap();
    open(&agent, 40);
    until("rows are written to a new file", SOON, || (file.is_file() && lines(&file) >= 40).then_some(()));
    agent.finish();
}

/// A file of duetector's layout beside the store.
fn an_additional_output_has_the_same_rows_and_they_are_shown_once() {
    let both = || agent().set("collector.sqlite.disabled", "false");
    let first = both().start();
    let (database, work) = (first.store().database(), first.store().workdir().to_owned());
    let copy = work.join("duetector-dbcollector.sqlite3");
    open(&first, 40);
    until("rows are copied", SOON, || (stored(&first) == 40 && rows(&copy) == 40).then_some(()));
    // While both are written, and as many rows as the books say at the end.
    assert_eq!(first.store().query("open", &[]).len(), 40);
    let first = first.finish();
    assert_eq!((rows(&database), rows(&copy)), (40, 40));
    // As the store, the same file gets rows of its own, and as an additional output copies again.
    let second = agent().duetector_layout().workdir(&work).start();
    open(&second, 7);
    second.finish_run();
    let third = both().workdir(&work).start();
    open(&third, 3);
    let third = third.finish_run();
    assert_eq!((rows(&database), rows(&copy)), (43, 50));
    let open = third.store().account("open");
    assert_eq!((open.count, open.stored, third.store().query("open", &[]).len()), (50, 3, 50), "{open:?}");
    // Without the store, the file has all.
    with_log(&database).iter().for_each(|file| drop(fs::remove_file(file)));
    assert_eq!(first.store().query("open", &[]).len(), 50);
}
