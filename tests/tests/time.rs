//! Time: the order of rows when clocks change, queries in another time zone, and stores of an earlier version.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use rusqlite::Connection;
use serde_json::Value;
use tests::workload::generate;
use tests::{Agent, Scratch, Setup, Store, binary, suite, until};

suite! {
    threads: 2;
    rows_have_the_time_of_their_event_when_the_clock_is_set: [Kernel];
    rows_are_in_order_when_the_clock_of_the_machine_is_set: [Guest, Kernel];
    the_last_minutes_are_found_in_another_time_zone: [Kernel];
    a_store_of_the_version_before_answers_the_same: [Kernel];
    spans_of_usage_have_a_zone: [Kernel]
}

const SOON: Duration = Duration::from_secs(60);
const HOUR: i64 = 3600;

fn open(agent: &Agent, uid: u32, name: &str) {
    let file = agent.scratch().file(name, "");
    generate(uid, &["open", file.to_str().unwrap(), "--count", "10"]);
}

/// Sets the agent's wall clock, not the machine's.
fn set_clock(agent: &Agent, seconds: i64) {
    let set = agent.store().run(&["inject-panic", &format!("clock:{seconds}")]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

/// Returns the last part of each path, in order.
fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["fname"].as_str().unwrap().rsplit('/').next().unwrap()).collect()
}

/// Returns the rows of tracer `open` as a query in this time zone prints them.
fn ask(store: &Store, zone: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(binary::agent());
    command.args(["query", "--tracer", "open", "--limit", "0", "--format", "json"]).args(arguments);
    let output = command.arg("--workdir").arg(store.workdir()).env("TZ", zone).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().clone()
}

fn number(store: &Store, sql: &str) -> i64 {
    Connection::open(store.database()).unwrap().query_row(sql, (), |row| row.get(0)).unwrap()
}

/// The table of tracer open.
fn table(store: &Store) -> String {
    let connection = Connection::open(store.database()).unwrap();
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'duetector_tracking:open@%'";
    connection.query_row(sql, (), |row| row.get(0)).unwrap()
}

fn rows_have_the_time_of_their_event_when_the_clock_is_set() {
    let scratch = Scratch::new();
    let lines = scratch.path().join("rows.jsonl");
    // The records wait in their ring until the agent ends, when the clock has been set twice.
    let agent = Setup::new()
        .duetector_layout()
        .set("ebpf.uids", "[9885]")
        .set("ebpf.poll_interval", "\"30s\"")
        // Processes that others start would wake the agent when an eighth of this ring is full.
        .set("ebpf.lifecycle_ring", "\"64MiB\"")
        .set("collector.jsonl.disabled", "false")
        .set("collector.jsonl.path", lines.to_str().unwrap())
        .start();
    let threads = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let threads: BTreeSet<String> =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap()).collect();
    assert!(threads.contains("clock-changes\n"), "nobody waits for changes of the clock: {threads:?}");
    open(&agent, 9885, "1-before");
    set_clock(&agent, HOUR);
    open(&agent, 9885, "2-ahead");
    set_clock(&agent, -2 * HOUR);
    open(&agent, 9885, "3-back");
    until("the changes are counted", SOON, || {
        (agent.actor("collector")["state"]["clock_changes"] == 2).then_some(())
    });
    assert_eq!(agent.tracer("open")["stored"], 0, "converted too early to show anything");
    let agent = agent.finish();
    let store = agent.store();

    let rows = store.query("open", &[]);
    let happened = names(&rows);
    let in_order = ["1-before", "2-ahead", "3-back"].iter().flat_map(|name| [*name; 10]);
    assert_eq!(happened, in_order.collect::<Vec<_>>());
    let boot: Vec<_> = rows.iter().map(|row| row["boot_ns"].as_i64().unwrap()).collect();
    assert!(boot.is_sorted(), "{boot:?}");
    // The wall clock's relation to the boot clock, in hours from that at the start.
    let relation = format!("SELECT time - boot_ns FROM \"{}\" WHERE fname LIKE '%", table(store));
    let of = |name: &str| number(store, &format!("{relation}{name}' LIMIT 1"));
    let hours = |name: &str| ((of(name) - of("1-before")) as f64 / (HOUR as f64 * 1e9)).round() as i64;
    assert_eq!([hours("2-ahead"), hours("3-back")], [1, -1]);
    let text = fs::read_to_string(&lines).unwrap();
    let mut printed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    printed.retain(|row| row["tracer"] == "open");
    assert_eq!(printed, rows, "the sinks have the same times");
}

/// Sets the machine's wall clock forward by so many seconds, or back.
fn set_machines_clock(seconds: i64) {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
    let then = TimeSpec::new(now.tv_sec() + seconds, now.tv_nsec());
    clock_settime(ClockId::CLOCK_REALTIME, then).unwrap();
}

fn rows_are_in_order_when_the_clock_of_the_machine_is_set() {
    const STEPS: [(&str, i64); 4] =
        [("1-before", HOUR), ("2-ahead", -2 * HOUR), ("3-back", HOUR), ("4-right", 0)];
    let agent = Setup::new().set("ebpf.uids", "[9884]").start();
    for (number, (name, seconds)) in STEPS.iter().enumerate() {
        open(&agent, 9884, name);
        if *seconds != 0 {
            set_machines_clock(*seconds);
            until("the change is counted", SOON, || {
                (agent.actor("collector")["state"]["clock_changes"] == number + 1).then_some(())
            });
        }
    }
    let agent = agent.finish();
    let store = agent.store();
    let rows = ask(store, "UTC", &[]);
    let in_order = STEPS.iter().flat_map(|(name, _)| [*name; 10]);
    assert_eq!(names(&rows), in_order.collect::<Vec<_>>());
    let boot: Vec<_> = rows.iter().map(|row| row["boot_ns"].as_i64().unwrap()).collect();
    assert!(boot.is_sorted(), "{boot:?}");
    // By the time that the clock showed: the last of a step, and the first of another.
    let time = |number: usize| rows[number]["time"].as_str().unwrap().to_owned();
    let found = |arguments: &[&str]| {
        let rows = ask(store, "UTC", arguments);
        let mut names: Vec<_> = names(&rows).into_iter().map(str::to_owned).collect();
        names.dedup();
        (rows.len(), names)
    };
    assert_eq!(found(&["--since", &time(10)]), (10, vec!["2-ahead".to_owned()]));
    assert_eq!(found(&["--until", &time(29)]), (10, vec!["3-back".to_owned()]));
    let (count, found) = found(&["--since", &time(0), "--until", &time(39)]);
    assert_eq!((count, found), (20, vec!["1-before".to_owned(), "4-right".to_owned()]));
    let pages = (0..rows.len()).step_by(7).flat_map(|at| {
        let page = ask(store, "UTC", &["--start", &at.to_string()]);
        page.into_iter().take(7)
    });
    assert_eq!(pages.collect::<Vec<_>>(), rows);
}

fn the_last_minutes_are_found_in_another_time_zone() {
    let scratch = Scratch::new();
    let lines = scratch.path().join("rows.jsonl");
    let agent = Setup::new()
        .duetector_layout()
        .variable("TZ", "Asia/Tokyo")
        .set("ebpf.uids", "[9886]")
        .set("collector.jsonl.disabled", "false")
        .set("collector.jsonl.path", lines.to_str().unwrap())
        .start();
    open(&agent, 9886, "file");
    let agent = agent.finish();
    let store = agent.store();
    for zone in ["UTC", "Asia/Tokyo", "America/St_Johns", "Pacific/Kiritimati"] {
        assert_eq!(ask(store, zone, &["--since", "-10m"]).len(), 10, "{zone}");
        assert_eq!(ask(store, zone, &["--until", "-10m"]).len(), 0, "{zone}");
    }
    let time = |rows: &[Value]| rows[0]["time"].as_str().unwrap().to_owned();
    let (tokyo, elsewhere) = (ask(store, "Asia/Tokyo", &[]), ask(store, "Etc/GMT+5", &[]));
    assert!(time(&tokyo).ends_with("+09:00"), "{}", time(&tokyo));
    assert!(time(&elsewhere).ends_with("-05:00"), "{}", time(&elsewhere));
    assert_eq!(tokyo[0]["dt"], elsewhere[0]["dt"]);
    assert_eq!(
        tokyo[0]["dt"].as_str().unwrap().replace(' ', "T"),
        time(&tokyo)[..26],
        "dt is where the agent ran"
    );
    let printed: Value =
        serde_json::from_str(fs::read_to_string(&lines).unwrap().lines().last().unwrap()).unwrap();
    assert!(printed["time"].as_str().unwrap().ends_with("+09:00"), "{printed}");
    // What an answer prints is a moment that can be asked for.
    let last = ask(store, "UTC", &["--desc"]);
    assert_eq!(
        ask(store, "Asia/Tokyo", &["--since", &time(&last), "--until", &time(&last)]),
        ask(store, "Asia/Tokyo", &["--where", &format!("time={}", time(&last))])
    );
}

fn spans_of_usage_have_a_zone() {
    let agent =
        Setup::new().duetector_layout().variable("TZ", "Asia/Tokyo").set("ebpf.uids", "[9888]").start();
    let file = agent.scratch().file("bytes", "");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let options = [file.to_str().unwrap(), "--threads", "1", "--calls", "100"];
    generate(9888, &[&["bytes"], &options[..]].concat());
    let agent = agent.finish();
    let rows = |condition: &str| {
        let asked = format!("fname.endsWith('/bytes') && {condition}");
        let mut command = Command::new(binary::agent());
        command.args(["query", "--tracer", "usage", "--format", "json", "--where", &asked]).env("TZ", "UTC");
        let output = command.arg("--workdir").arg(agent.store().workdir()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().clone()
    };
    let all = rows("true");
    assert!(!all.is_empty());
    for row in &all {
        for (local, zoned) in [("first", "first_time"), ("last", "last_time")] {
            let [local, zoned] = [local, zoned].map(|name| row["extended"][name].as_str().unwrap());
            assert_eq!(format!("{}+09:00", local.replace(' ', "T")), [&zoned[..26], &zoned[29..]].concat());
        }
    }
    // The same moment in another zone, for an expression too.
    let first = all[0]["extended"]["first_time"].as_str().unwrap();
    let is_first = |time: &str| format!("timestamp(extended.first_time) == timestamp('{time}')");
    assert!(rows(&is_first(first)).contains(&all[0]));
    let as_utc = [&first[..29], "+00:00"].concat();
    assert_eq!(rows(&is_first(&as_utc)), Vec::<Value>::new());
}

fn a_store_of_the_version_before_answers_the_same() {
    let scratch = Scratch::new();
    let workdir = scratch.path().join("work");
    let setup = || {
        Setup::new()
            .duetector_layout()
            .workdir(&workdir)
            .set("ebpf.uids", "[9887]")
            .set("collector.id", "'vm'")
    };
    let agent = setup().variable("TZ", "Asia/Tokyo").start();
    open(&agent, 9887, "one");
    open(&agent, 9887, "two");
    let agent = agent.finish_run();
    let store = agent.store();
    // All that a version before did not have.
    let answer = |zone: &str, arguments: &[&str]| {
        let mut rows = ask(store, zone, arguments);
        for row in &mut rows {
            let row = row.as_object_mut().unwrap();
            row.remove("boot_ns");
            let time = row["time"].as_str().unwrap();
            row["time"] = format!("{}{}", &time[..26], &time[29..]).into();
        }
        rows
    };
    let expected = answer("UTC", &[]);
    assert_eq!(expected.len(), 20);
    make_old(store);
    for zone in ["UTC", "America/St_Johns"] {
        assert_eq!(ask(store, zone, &["--since", "-10m"]).len(), 20, "{zone}");
    }
    assert_eq!(answer("UTC", &[]), expected, "read before it is migrated");

    let agent = setup().variable("TZ", "Europe/Berlin").start();
    until("the store is migrated", SOON, || (number(store, "PRAGMA user_version") == 2).then_some(()));
    let agent = agent.finish_run();
    let store = agent.store();
    assert_eq!(answer("UTC", &[]), expected, "read after it is migrated");
    let without = format!("SELECT count(*) FROM \"{}\" WHERE time IS NULL", table(store));
    assert_eq!(number(store, &without), 0);
    let pages = (0..20).step_by(3).flat_map(|start| {
        let output = answer("UTC", &["--start", &start.to_string()]);
        output.into_iter().take(3)
    });
    assert_eq!(pages.collect::<Vec<_>>(), expected);
}

/// Changes a store into one that the version before would have made.
fn make_old(store: &Store) {
    let connection = Connection::open(store.database()).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'duetector_tracking:%'")
        .unwrap()
        .query_map((), |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for table in tables {
        let sql = format!(
            "DROP INDEX \"duetector_actors_time:{table}\"; ALTER TABLE \"{table}\" DROP COLUMN time;
             ALTER TABLE \"{table}\" DROP COLUMN boot_ns; CREATE INDEX \"duetector_actors_dt:{table}\" ON \"{table}\" (dt);"
        );
        connection.execute_batch(&sql).unwrap();
    }
    connection.execute_batch("DROP TABLE duetector_actors_clock; PRAGMA user_version = 1").unwrap();
}
