//! Tests of the file as other programs see it: exactly duetector's schema, private, and with nothing that breaks
//! duetector's reader.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use model::{AccountSnapshot, Clocks, Details, Lost, Moment, Record, Remembered, Routed, WallTime};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Run, Sqlite, Synchronous};
use crate::sink::{Sink, TracerAccount, Trouble};
use store::bookkeeping::remembered;

fn sink(path: &Path) -> Sqlite {
    let run = Run { run_id: "r1".into(), collector_id: "vm".into(), started: WallTime(0) };
    Sqlite::new(path.to_owned(), Synchronous::Normal, run)
}

fn routed(tracer: &str, rows: &[Value]) -> Routed {
    let row = |fields: &Value| {
        let details = Details::Fields(fields.as_object().unwrap().clone());
        let record = Record { at: Moment::Wall(WallTime(1_709_210_096_000_007)), identity: None, details };
        crate::normalize::row(&tracer.into(), record, &Clocks::default()).unwrap()
    };
    Routed { claim: None, rows: rows.iter().map(row).collect::<Arc<[_]>>(), bytes: 0 }
}

fn texts(path: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map((), |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_file_without_tables_has_no_positions() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    std::fs::write(&path, "").unwrap();
    assert_eq!(remembered(&path).unwrap(), Remembered::default());
    sink(&path).check().unwrap();
    assert_eq!(remembered(&path).unwrap().store, "r1");
}

#[test]
fn a_row_in_duetectors_schema() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("new/db");
    let mut sink = sink(&path);
    let row = json!({"pid": 7, "uid": "0", "comm": "sh", "fname": "/data/ü", "a": "ü", "b": [1, 2]});
    assert_eq!(sink.write(&[routed("open", &[row])], &[]).unwrap(), []);
    sink.close(&[], WallTime(0)).unwrap();
    let ddl = texts(&path, "SELECT sql FROM sqlite_master WHERE name = 'duetector_tracking:open@vm'");
    let core = "CREATE TABLE \"duetector_tracking:open@vm\" (id INTEGER NOT NULL, pid INTEGER, uid INTEGER, \
                gid INTEGER, dt DATETIME, comm VARCHAR, cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, tid INTEGER";
    assert!(ddl[0].starts_with(core) && ddl[0].ends_with(", PRIMARY KEY (id))"), "{}", ddl[0]);
    let table = "FROM \"duetector_tracking:open@vm\"";
    assert_eq!(texts(&path, &format!("SELECT dt {table}")), ["2024-02-29 12:34:56.000007"]);
    assert_eq!(texts(&path, &format!("SELECT fname {table}")), ["/data/ü"]);
    assert_eq!(texts(&path, &format!("SELECT typeof(pid) || typeof(uid) {table}")), ["integerinteger"]);
    assert_eq!(texts(&path, &format!("SELECT extended {table}")), [r#"{"a": "\u00fc", "b": [1, 2]}"#]);
    let names = texts(&path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
    let (own, rows): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.starts_with("duetector_actors_"));
    assert_eq!((own.len(), rows), (5, vec![&"duetector_tracking:open@vm".to_owned()]));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(!scratch.path().join("new/db-wal").exists(), "the log is written back at close");
}

#[test]
fn a_table_that_python_made_gets_our_columns() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    let python = "CREATE TABLE \"duetector_tracking:open@vm\" (id INTEGER NOT NULL, pid INTEGER, uid INTEGER, \
                  gid INTEGER, dt DATETIME, comm VARCHAR, cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, \
                  PRIMARY KEY (id)); INSERT INTO \"duetector_tracking:open@vm\" (pid, dt, extended) \
                  VALUES (1, '2026-01-31 12:00:00.000000', '{}');";
    Connection::open(&path).unwrap().execute_batch(python).unwrap();
    let mut sink = sink(&path);
    sink.write(&[routed("open", &[json!({"pid": 2, "ret": -2})])], &[]).unwrap();
    let pids = "SELECT group_concat(pid || ':' || ifnull(ret, '-'), ' ') FROM \"duetector_tracking:open@vm\"";
    assert_eq!(texts(&path, pids), ["1:- 2:-2"]);
    // The row that was there gets its time, too.
    while !sink.store.as_ref().unwrap().migration.is_done() {
        sink.refresh();
    }
    let at = WallTime::parse("2026-01-31 12:00:00.000000").unwrap();
    let at = model::ZonedTime::of_local(at, &jiff::tz::TimeZone::system()).utc_ns.to_string();
    let time = "SELECT CAST(time AS TEXT) FROM \"duetector_tracking:open@vm\" WHERE pid = 1";
    assert_eq!(texts(&path, time), [at]);
}

#[test]
fn names_that_would_break_the_reader_are_made_harmless() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    let mut sink = sink(&path);
    let odd = [routed("A:b@C", &[json!({})]), routed("quo\"te; DROP", &[json!({})])];
    assert_eq!(sink.write(&odd, &[]).unwrap(), []);
    let names =
        texts(&path, "SELECT name FROM sqlite_master WHERE name LIKE 'duetector_tracking%' ORDER BY name");
    assert_eq!(names, ["duetector_tracking:a_b_c@vm", "duetector_tracking:quo\"te; drop@vm"]);
}

#[test]
fn a_bad_row_costs_itself_and_a_failed_write_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    let mut sink = sink(&path);
    sink.write(&[routed("t", &[json!({"pid": 0})])], &[]).unwrap();
    let other = Connection::open(&path).unwrap();
    let index = "CREATE UNIQUE INDEX no13 ON \"duetector_tracking:t@vm\" (pid = 13) WHERE pid = 13;
                 INSERT INTO \"duetector_tracking:t@vm\" (pid, extended) VALUES (13, '{}')";
    other.execute_batch(index).unwrap();
    let good = routed("u", &[json!({"pid": 1})]);
    let rejected =
        sink.write(&[good, routed("t", &[json!({"pid": 12}), json!({"pid": 13}), json!({"pid": 14})])], &[]);
    let rejected = rejected.unwrap();
    assert_eq!((rejected.len(), rejected[0].batch, rejected[0].rows), (1, 1, 1));
    let pids = "SELECT group_concat(pid, ' ') FROM \"duetector_tracking:t@vm\"";
    assert_eq!(texts(&path, pids), ["0 13 12 14"]);
    // Another program holds the write lock: a transient failure writes nothing, and the retry writes all.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error =
        sink.write(&[routed("t", &[json!({"pid": 15})]), routed("new", &[json!({})])], &[]).unwrap_err();
    assert_eq!(error.trouble, Trouble::Transient);
    assert!(error.to_string().starts_with("writing to /"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    sink.write(&[routed("t", &[json!({"pid": 15})]), routed("new", &[json!({})])], &[]).unwrap();
    assert_eq!(texts(&path, pids), ["0 13 12 14 15"]);
}

#[test]
fn accounts_are_kept_by_run() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    let mut sink = sink(&path);
    let lost = Lost { ring: 1, decode: 2, queue: 3, sink: 4 };
    let account = |tracer: &str| {
        let snapshot = AccountSnapshot { seen: 21, stored: 10, filtered: 1, lost };
        TracerAccount { tracer: tracer.into(), snapshot, checkpoint: None }
    };
    sink.write(&[], &[account("open")]).unwrap();
    sink.close(&[account("open"), account("a:b"), account("a@b")], WallTime(1)).unwrap();
    let lines = "SELECT tracer || ' ' || seen || ' ' || stored || ' ' || filtered || ' ' || lost_ring || ' ' || \
                 lost_decode || ' ' || lost_queue || ' ' || lost_sink FROM duetector_actors_account ORDER BY tracer";
    assert_eq!(texts(&path, lines), ["a_b 42 20 2 2 4 6 8", "open 21 10 1 1 2 3 4"]);
    let run =
        "SELECT run_id || ' ' || collector_id || ' ' || started || ' ' || ended FROM duetector_actors_run";
    assert_eq!(texts(&path, run), ["r1 vm 1970-01-01 00:00:00.000000 1970-01-01 00:00:00.000001"]);
}

#[test]
fn files_that_are_not_a_store_are_refused_permanently() {
    let scratch = tempfile::tempdir().unwrap();
    let real = scratch.path().join("real");
    std::fs::write(&real, "").unwrap();
    let link = scratch.path().join("link");
    symlink(&real, &link).unwrap();
    let error = sink(&link).check().unwrap_err();
    assert_eq!((error.trouble, error.source.to_string().as_str()), (Trouble::Permanent, "is a symlink"));
    let text = scratch.path().join("text");
    std::fs::write(&text, "not a database, though long enough to be looked at. ".repeat(100)).unwrap();
    assert_eq!(sink(&text).check().unwrap_err().trouble, Trouble::Permanent);
    assert_eq!(sink(Path::new("/proc/nowhere/db")).check().unwrap_err().trouble, Trouble::Permanent);
}

#[test]
fn a_moved_file_keeps_all_its_rows_even_while_others_read_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, aside) = (scratch.path().join("db"), scratch.path().join("aside"));
    let mut sink = sink(&path);
    sink.write(&[routed("t", &[json!({"pid": 1})])], &[]).unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM sqlite_master").unwrap();
    sink.write(&[routed("t", &[json!({"pid": 2})])], &[]).unwrap();
    assert_eq!(sink.refresh(), None);
    std::fs::rename(&path, &aside).unwrap();
    let replaced = sink.refresh().unwrap();
    assert!(replaced.cause.ends_with("aside") && replaced.lost.is_empty(), "{replaced:?}");
    sink.write(&[routed("t", &[json!({"pid": 3})])], &[]).unwrap();
    drop(reader);
    let pids = "SELECT group_concat(pid, ' ') FROM \"duetector_tracking:t@vm\"";
    assert_eq!(texts(&aside, pids), ["1 2"]);
    assert_eq!(texts(&path, pids), ["3"]);
    // The new file has the id of the old one: pinned rings refer to it.
    let id = "SELECT id FROM duetector_actors_store";
    assert_eq!(texts(&path, id), texts(&aside, id));
}

/// A file as a version before made it: without `time`, with the index for `dt`. The run was in a zone of UTC+9.
fn file_of_before(path: &Path, rows: usize) {
    let columns = "id INTEGER NOT NULL, pid INTEGER, uid INTEGER, gid INTEGER, dt DATETIME, comm VARCHAR, cwd VARCHAR, \
                   fname VARCHAR, extended JSON NOT NULL, tid INTEGER, ppid INTEGER, exec_id VARCHAR, exe VARCHAR, \
                   container_id VARCHAR, ret INTEGER, count INTEGER, PRIMARY KEY (id)";
    let connection = Connection::open(path).unwrap();
    let started = 1_780_272_000_000_000_000_i64; // 2026-06-01 00:00 UTC
    connection
        .execute_batch(&format!(
            "CREATE TABLE \"duetector_tracking:t@vm\" ({columns});
             CREATE INDEX \"duetector_actors_dt:duetector_tracking:t@vm\" ON \"duetector_tracking:t@vm\" (dt);
             CREATE TABLE duetector_actors_run (run_id TEXT PRIMARY KEY, collector_id TEXT NOT NULL,
                 started TEXT NOT NULL, ended TEXT, version TEXT NOT NULL, adopted TEXT, written TEXT);
             INSERT INTO duetector_actors_run VALUES
                 ('{started:x}-1', 'vm', '2026-06-01 09:00:00.000001', NULL, '0.1.0', NULL, NULL);
             PRAGMA user_version = 1; BEGIN;"
        ))
        .unwrap();
    let mut insert = connection
        .prepare("INSERT INTO \"duetector_tracking:t@vm\" (dt, extended) VALUES (?, '{}')")
        .unwrap();
    for number in 0..rows as i64 {
        // 2026-06-01 10:00 there, and a microsecond more for each.
        insert.execute([WallTime(1_780_308_000_000_000 + number).to_text()]).unwrap();
    }
    insert.execute(["no time"]).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

#[test]
fn a_file_of_a_version_before_gets_its_times_in_pieces() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    file_of_before(&path, 2500);
    let layout = || texts(&path, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version")[0].clone();
    let first = &mut sink(&path);
    first.check().unwrap();
    // Rows are written meanwhile.
    first.write(&[routed("t", &[json!({"pid": 1})])], &[]).unwrap();
    assert_eq!(layout(), "1", "not done yet");
    let waiting = "SELECT CAST(count(*) AS TEXT) FROM \"duetector_tracking:t@vm\" WHERE time IS NULL";
    assert_eq!(texts(&path, waiting), ["2501"]);
    // Another run goes on where the one before ended.
    let second = &mut sink(&path);
    second.check().unwrap();
    while layout() == "1" {
        second.refresh();
    }
    assert_eq!(
        (layout(), texts(&path, waiting)),
        ("2".to_owned(), vec!["1".to_owned()]),
        "all but the one without"
    );
    let right = "SELECT CAST(count(*) AS TEXT) FROM \"duetector_tracking:t@vm\"
                 WHERE time = 1780275600000000000 + (id - 1) * 1000 AND id <= 2500";
    assert_eq!(texts(&path, right), ["2500"], "in the zone of the run that wrote them");
    let indexes = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'duetector_actors%t@vm'";
    assert_eq!(texts(&path, indexes), ["duetector_actors_time:duetector_tracking:t@vm"]);
}
