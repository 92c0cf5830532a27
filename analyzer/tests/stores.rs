//! Stores of every kind: being written, closed, in a folder without write permission, written by Python, broken.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt;

use analyzer::{Brief, Error, Query, Store};
use common::{DUETECTOR_COLUMNS, File, Mixed, OWN_COLUMNS, at, names, rows, show, time};

#[test]
fn a_store_being_written_is_read() {
    let file = File::new();
    file.connection.pragma_update(None, "journal_mode", "wal").unwrap();
    let table = file.table("open", "vm", OWN_COLUMNS);
    file.row(&table, 1, &at(1), "cat", None, "{}");
    let store = file.store();
    file.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    file.row(&table, 2, &at(2), "cat", None, "{}");
    assert_eq!(rows(&store, &Query::default()).unwrap().len(), 1);
    assert_eq!(store.brief().unwrap().tracers[0].count, 1);
    file.connection.execute_batch("COMMIT").unwrap();
    assert_eq!(rows(&store, &Query::default()).unwrap().len(), 2);
}

#[test]
fn a_closed_store_is_read_in_a_folder_that_is_not_ours() {
    let mut file = File::new();
    file.connection.pragma_update(None, "journal_mode", "wal").unwrap();
    let table = file.table("open", "vm", OWN_COLUMNS);
    file.row(&table, 1, &at(1), "cat", None, "{}");
    file.connection = rusqlite::Connection::open_in_memory().unwrap();
    let folder = file.dir.path();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o555)).unwrap();
    let found = rows(&file.store(), &Query::default()).map(|rows| rows.len());
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(found.unwrap(), 1);
}

#[test]
fn nothing_is_written_to_a_store() {
    let file = File::new();
    file.table("open", "vm", DUETECTOR_COLUMNS);
    let before = std::fs::read(&file.path).unwrap();
    let store = file.store();
    store.brief().unwrap();
    rows(&store, &Query::default()).unwrap();
    assert_eq!(std::fs::read(&file.path).unwrap(), before);
}

#[test]
fn each_kind_of_file_that_is_no_store_has_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.sqlite3");
    assert!(matches!(Store::open(&missing), Err(Error::Missing { path }) if path == missing));
    let text = dir.path().join("text.sqlite3");
    std::fs::write(&text, "not a database, but long enough to have a header of its own".repeat(20)).unwrap();
    assert!(matches!(Store::open(&text), Err(Error::Open { .. })));
    assert!(matches!(Store::open(dir.path()), Err(Error::Open { .. })));
    let empty = dir.path().join("empty.sqlite3");
    std::fs::write(&empty, "").unwrap();
    assert_eq!(Store::open(&empty).unwrap().brief().unwrap(), Brief::default());
}

#[test]
fn two_files_are_read_together_if_they_are_of_two_kinds() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    file.row(&table, 1, &at(1), "cat", None, "{}");
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("store.sqlite3");
    std::fs::write(&empty, "").unwrap();
    // As while an agent makes the store.
    for paths in [[&empty, &file.path], [&file.path, &empty]] {
        let store = Store::open_all(&paths.map(Clone::clone)).unwrap();
        assert_eq!(rows(&store, &Query::default()).unwrap().len(), 1);
    }
    let other = File::new();
    other.table("open", "vm", OWN_COLUMNS);
    let two = Store::open_all(&[file.path.clone(), other.path.clone()]).map(drop);
    assert!(matches!(two, Err(Error::Two { .. })), "{two:?}");
}

#[test]
fn a_brief_adds_up_both_files_and_has_the_latest_run() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    (1..=4).for_each(|second| file.row(&table, 1, &at(second), "cat", None, "{}"));
    for is_shared in [false, true] {
        let mixed = Mixed::of(&file, is_shared);
        let account = |path: &std::path::Path, run: &str, seen: i64| {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection
                .execute_batch(
                    "CREATE TABLE IF NOT EXISTS duetector_actors_run (run_id TEXT PRIMARY KEY, collector_id, started, ended, version);
                     CREATE TABLE IF NOT EXISTS duetector_actors_account (run_id TEXT, tracer TEXT, seen, stored, filtered, lost_ring,
                         lost_decode, lost_queue, lost_sink, PRIMARY KEY (run_id, tracer));",
                )
                .unwrap();
            let sql = "INSERT INTO duetector_actors_run (run_id, collector_id, started, version) VALUES (?, 'vm', '', '')";
            connection.execute(sql, [run]).unwrap();
            let sql = "INSERT INTO duetector_actors_account VALUES (?, 'open', ?, 0, 0, 0, 0, 0, 0)";
            connection.execute(sql, rusqlite::params![run, seen]).unwrap();
        };
        account(&mixed.beside, "ff-1", 7);
        account(&mixed.columnar.path, "100-1", 9);
        let brief = mixed.store().brief().unwrap();
        let [open] = brief.tracers.as_slice() else { panic!("{brief:?}") };
        assert_eq!((open.count, open.seen), (4, 9));
        assert_eq!((open.start, open.end), (Some(time(&at(1))), Some(time(&at(4)))));
        account(&mixed.beside, "200-1", 11);
        assert_eq!(mixed.store().brief().unwrap().tracers[0].seen, 11);
    }
}

#[test]
fn files_of_python_duetector_lack_our_columns_and_can_be_read() {
    let file = File::new();
    let table = file.table("do_sys_openat2", "vm", DUETECTOR_COLUMNS);
    file.row(&table, 1, &at(1), "Unknown", None, r#"{"tracer_name": "x", "value": NaN, "k": "\u00fc"}"#);
    file.row(&table, 2, &at(2), "cat", None, "no json at all");
    let store = file.store();
    let query = Query { columns: names(&["exe", "ret", "extended"]), ..Query::default() };
    let found = rows(&store, &query).unwrap();
    let found: Vec<Vec<String>> = found.iter().map(|row| row.cells.iter().map(show).collect()).collect();
    assert_eq!(found[0], ["null", "null", r#"{"tracer_name":"x","value":null,"k":"ü"}"#]);
    assert_eq!(found[1], ["null", "null", r#"{"_unreadable":"no json at all"}"#]);
    let by_field = Query { wheres: vec!["k=ü".parse().unwrap()], ..Query::default() };
    assert_eq!(rows(&store, &by_field).unwrap().len(), 1);
    let brief = serde_json::to_value(store.brief().unwrap()).unwrap();
    assert_eq!(
        brief["tracers"][0],
        serde_json::json!({
            "tracer": "do_sys_openat2", "collector_id": "vm", "count": 2, "start": time(&at(1)), "end": time(&at(2)),
            "fields": {"pid": "int", "uid": "int", "gid": "int", "dt": "datetime", "comm": "str", "cwd": "str",
                       "fname": "str", "extended": "dict"},
            "seen": 0, "stored": 0, "filtered": 0, "lost": {"ring": 0, "decode": 0, "queue": 0, "sink": 0},
        })
    );
}

#[test]
fn a_brief_has_the_accounts_of_each_collectors_last_run() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    file.row(&table, 1, &at(1), "cat", None, "{}");
    file.connection
        .execute_batch(
            "CREATE TABLE duetector_actors_run (run_id TEXT PRIMARY KEY, collector_id, started, ended, version);
             CREATE TABLE duetector_actors_account (run_id TEXT, tracer TEXT, seen, stored, filtered, lost_ring,
                 lost_decode, lost_queue, lost_sink, PRIMARY KEY (run_id, tracer));
             INSERT INTO duetector_actors_run VALUES ('z', 'vm', '', '', ''), ('a', 'vm', '', NULL, '');
             INSERT INTO duetector_actors_account VALUES ('z', 'open', 9, 9, 9, 9, 9, 9, 9),
                 ('a', 'open', 15, 1, 4, 1, 2, 3, 4), ('a', 'exec', 2, 0, 2, 0, 0, 0, 0);",
        )
        .unwrap();
    let brief = serde_json::to_value(file.store().brief().unwrap()).unwrap();
    let tracers = brief["tracers"].as_array().unwrap();
    assert_eq!(tracers.len(), 2);
    assert_eq!(
        (&tracers[0]["tracer"], &tracers[0]["count"], &tracers[0]["seen"]),
        (&"exec".into(), &0.into(), &2.into())
    );
    assert_eq!(tracers[0]["fields"], serde_json::json!({}));
    let open = &tracers[1];
    assert_eq!((&open["seen"], &open["stored"], &open["filtered"]), (&15.into(), &1.into(), &4.into()));
    assert_eq!(open["lost"], serde_json::json!({"ring": 1, "decode": 2, "queue": 3, "sink": 4}));
}

#[test]
fn the_first_rows_are_read_by_the_time_index_not_sorted() {
    let file = File::new();
    let tables = ["open", "exec", "exit"].map(|tracer| file.table(tracer, "vm", OWN_COLUMNS));
    for (number, table) in tables.iter().enumerate() {
        file.connection.execute_batch(&format!("CREATE INDEX time_{number} ON {table} (time)")).unwrap();
    }
    let store = file.store();
    for tracers in [names(&["open"]), Vec::new()] {
        for (order_by, desc) in [(Vec::new(), false), (Vec::new(), true), (names(&["time"]), false)] {
            let query = Query { tracers: tracers.clone(), order_by, desc, ..Query::default() };
            let plan = store.query(&query).unwrap().explain().unwrap();
            let all = plan.join("\n");
            // Rows of the same moment may be sorted ("for last terms"); all of them may not.
            assert!(
                all.contains("USING INDEX time_") && !all.contains("TEMP B-TREE FOR ORDER BY"),
                "{query:?}: {all}"
            );
        }
    }
    // Of a table with rows that have no time yet, only these are sorted.
    file.row(&tables[0], 1, &at(1), "x", None, "{}");
    file.connection.execute_batch(&format!("UPDATE {} SET time = NULL", tables[0])).unwrap();
    let plan = store.query(&Query::default()).unwrap().explain().unwrap().join("\n");
    assert_eq!(plan.matches("TEMP B-TREE FOR ORDER BY").count(), 1, "{plan}");
    assert!(plan.contains("USING INDEX time_0 (time=?)"), "{plan}");
}
