//! Rows of files of duetector's layout come into the store once each, whatever happens on the way.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use common::{Scratch, numbered, numbers, write};
use jiff::tz::TimeZone;
use rusqlite::{Connection, params};
use store::Error;
use store::import::{self, Import, Outcome, prepare, total};

const TABLE: &str = "\"duetector_tracking:open@py\"";

/// A file of Python duetector's.
struct Python {
    _folder: tempfile::TempDir,
    path: PathBuf,
    connection: Connection,
}

impl Python {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA synchronous = OFF; CREATE TABLE {TABLE} (id INTEGER NOT NULL, pid INTEGER, uid INTEGER,
                 gid INTEGER, dt DATETIME, comm VARCHAR, cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, PRIMARY KEY (id))"
            ))
            .unwrap();
        Self { _folder: folder, path, connection }
    }

    /// Adds a row with that number for each.
    fn add(&self, numbers: std::ops::Range<i64>) {
        self.connection.execute_batch("BEGIN").unwrap();
        for number in numbers {
            self.insert(
                &format!("2026-01-31 12:00:00.{:06}", number % 1_000_000),
                &format!("{{\"number\": {number}}}"),
            );
        }
        self.connection.execute_batch("COMMIT").unwrap();
    }

    fn insert(&self, dt: &str, extended: &str) {
        let sql = format!(
            "INSERT INTO {TABLE} (pid, dt, comm, fname, extended) VALUES (7, ?, 'cat', '/data/é', ?)"
        );
        self.connection.execute(&sql, params![dt, extended]).unwrap();
    }

    /// Imports the file, which `progress` may do something about.
    fn import_with(&self, scratch: &Scratch, progress: impl FnMut(u64)) -> Outcome {
        let (file, store) = (import::open(&self.path).unwrap(), scratch.open());
        prepare(&store).unwrap();
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let import = Import::of(file, &store, zone).unwrap().expect("the file has no rows");
        let waiting = import.waiting(&store).unwrap();
        let done = total(&import.run(&store, progress).unwrap());
        assert_eq!(import.waiting(&store).unwrap(), 0);
        assert!(waiting <= done.rows + done.unreadable + done.already);
        done
    }

    fn import(&self, scratch: &Scratch) -> Outcome {
        self.import_with(scratch, |_| {})
    }
}

fn sorted(scratch: &Scratch) -> Vec<i64> {
    let mut all = numbers(&scratch.rows("open"));
    all.sort_unstable();
    all
}

#[test]
fn a_file_is_imported_once_and_what_was_added_to_it_later() {
    let (python, scratch) = (Python::new(), Scratch::new());
    let file = || import::open(&python.path).unwrap();
    prepare(&scratch.open()).unwrap();
    assert!(Import::of(file(), &scratch.open(), TimeZone::UTC).unwrap().is_none());
    python.add(0..3);
    assert_eq!(python.import(&scratch), Outcome { rows: 3, ..Outcome::default() });
    let rows = scratch.rows("open");
    let row = &rows[2];
    assert_eq!((row.pid, row.uid, row.comm.as_ref().unwrap().as_bytes()), (Some(7), None, &b"cat"[..]));
    assert_eq!(row.fname.as_ref().unwrap().to_str(), "/data/é");
    assert_eq!(row.dt.unwrap().to_text(), "2026-01-31 12:00:00.000002");
    assert_eq!(row.time.unwrap().to_text(), "2026-01-31T12:00:00.000002000+09:00");
    assert_eq!(python.import(&scratch), Outcome { already: 3, ..Outcome::default() });
    python.add(3..5);
    assert_eq!(python.import(&scratch), Outcome { rows: 2, already: 3, ..Outcome::default() });
    assert_eq!(sorted(&scratch), [0, 1, 2, 3, 4]);
    // A copy of the file is the same file; another file is another one.
    let copy = Python { path: python.path.with_extension("copy"), ..Python::new() };
    std::fs::copy(&python.path, &copy.path).unwrap();
    assert_eq!(copy.import(&scratch).rows, 0);
    let other = Python::new();
    other.add(5..6);
    assert_eq!(other.import(&scratch).rows, 1);
}

#[test]
fn a_file_of_pythons_that_the_agent_goes_on_with_is_the_same_file() {
    let (python, scratch) = (Python::new(), Scratch::new());
    // The first table has no rows yet, so that another one is the first that has.
    let other = TABLE.replace("open", "mount");
    let make = format!("CREATE TABLE {other} AS SELECT * FROM {TABLE}");
    python.connection.execute_batch(&make).unwrap();
    let insert = format!(
        "INSERT INTO {other} (id, pid, dt, extended) VALUES (1, 7, '2026-01-31 12:00:00.000000', '{{}}')"
    );
    python.connection.execute_batch(&insert).unwrap();
    assert_eq!(python.import(&scratch).rows, 1);
    python.add(0..3);
    assert_eq!(python.import(&scratch), Outcome { rows: 3, already: 1, ..Outcome::default() });
    // The agent gives it an id.
    python
        .connection
        .execute_batch(
            "CREATE TABLE duetector_actors_store (id TEXT PRIMARY KEY); INSERT INTO duetector_actors_store VALUES ('ours')",
        )
        .unwrap();
    assert_eq!(python.import(&scratch), Outcome { already: 4, ..Outcome::default() });
    python.add(3..5);
    assert_eq!(python.import(&scratch), Outcome { rows: 2, already: 4, ..Outcome::default() });
    assert_eq!(python.import(&scratch), Outcome { already: 6, ..Outcome::default() });
    assert_eq!(sorted(&scratch), [0, 1, 2, 3, 4]);
}

#[test]
fn an_import_that_is_interrupted_goes_on() {
    let (python, scratch) = (Python::new(), Scratch::new());
    python.add(0..12_000);
    for round in 1..=3 {
        // As if it was killed when the first piece was written.
        let killed = catch_unwind(AssertUnwindSafe(|| python.import_with(&scratch, |_| panic!("killed"))));
        assert!(killed.is_err());
        assert_eq!(sorted(&scratch).len(), 12_000.min(5000 * round));
    }
    assert_eq!(python.import(&scratch), Outcome { already: 12_000, ..Outcome::default() });
    assert_eq!(sorted(&scratch), (0..12_000).collect::<Vec<_>>());
}

#[test]
fn rows_that_cannot_be_read_are_left_out_and_named() {
    let (python, scratch) = (Python::new(), Scratch::new());
    python.add(0..2);
    python.insert("no time", "{}");
    python.insert("2026-01-31T12:00:05", "{\"number\": 2, \"nan\": NaN}");
    python.insert("2026-01-31 12:00:06.000000", "no json");
    python.connection.execute(&format!("UPDATE {TABLE} SET uid = 'root' WHERE id = 2"), []).unwrap();
    let done = python.import(&scratch);
    assert_eq!((done.rows, done.unreadable), (3, 2));
    let first = done.first_unreadable.unwrap();
    assert!(first.contains("row 2 of ") && first.ends_with("column uid has another text"), "{first}");
    let rows = scratch.rows("open");
    assert_eq!(rows[1].dt.unwrap().to_text(), "2026-01-31 12:00:05.000000");
    assert_eq!(rows[2].extended.get("_unreadable").unwrap().to_plain(), "no json");
    let again = python.import(&scratch);
    assert_eq!((again.rows, again.unreadable, again.first_unreadable), (0, 2, None));
}

#[test]
fn an_agent_goes_on_writing_meanwhile() {
    let (python, scratch) = (Python::new(), Scratch::new());
    python.add(0..12_000);
    let mut writer = scratch.writer();
    write(&mut writer, (20_000..20_005).map(|number| numbered("open", number)).collect());
    let mut next = 20_005;
    let done = python.import_with(&scratch, |_| {
        write(&mut writer, vec![numbered("open", next)]);
        next += 1;
    });
    assert_eq!((done.rows, next), (12_000, 20_008));
    assert_eq!(sorted(&scratch), (0..12_000).chain(20_000..20_008).collect::<Vec<_>>());
}

#[test]
fn runs_come_with_their_accounts_and_before_those_of_the_store() {
    let (python, scratch) = (Python::new(), Scratch::new());
    python.add(0..2);
    python
        .connection
        .execute_batch(
            "CREATE TABLE duetector_actors_store (id TEXT PRIMARY KEY);
             INSERT INTO duetector_actors_store VALUES ('theirs');
             CREATE TABLE duetector_actors_run (run_id TEXT PRIMARY KEY, collector_id, started, ended, version, adopted, written);
             CREATE TABLE duetector_actors_account (run_id TEXT, tracer TEXT, seen, stored, filtered, lost_ring, lost_decode,
                 lost_queue, lost_sink, PRIMARY KEY (run_id, tracer));
             INSERT INTO duetector_actors_run VALUES ('a', 'vm', 'x', 'y', '1', NULL, '2026-01-31 12:00:00.000000'),
                 ('b', 'vm', 'x', NULL, '1', NULL, '2026-01-31 13:00:00.000000');
             INSERT INTO duetector_actors_account VALUES ('a', 'open', 9, 8, 1, 0, 0, 0, 0), ('b', 'open', 2, 2, 0, 0, 0, 0, 0);",
        )
        .unwrap();
    let mut writer = scratch.writer();
    write(&mut writer, vec![numbered("open", 5)]);
    python.import(&scratch);
    python.import(&scratch);
    let connection = scratch.open();
    let mut runs = connection.prepare("SELECT run_id FROM duetector_actors_run ORDER BY rowid").unwrap();
    let runs: Vec<String> = runs.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(runs, ["a", "b", "r1"]);
    let seen = "SELECT sum(seen) FROM duetector_actors_account";
    assert_eq!(connection.query_row(seen, [], |row| row.get::<_, i64>(0)).unwrap(), 11);
    // The run that was killed is not this store's last one.
    assert_eq!(store::bookkeeping::remembered(&scratch.path()).unwrap().store, "r1");
}

#[test]
fn other_files_are_refused() {
    let scratch = Scratch::new();
    prepare(&scratch.open()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let refused = |path: &std::path::Path| {
        let file = import::open(path).unwrap();
        match Import::of(file, &scratch.open(), TimeZone::UTC) {
            Err(Error::NotToImport(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&path), "it has no table of duetector's layout");
    assert_eq!(refused(&scratch.path()), "it is a columnar store");
    std::fs::write(&path, "no database".repeat(100)).unwrap();
    assert!(import::open(&path).is_err());
}

#[test]
fn what_was_imported_before_the_first_run_can_be_sealed() {
    let (python, scratch) = (Python::new(), Scratch::new());
    python.add(0..3);
    python.import(&scratch);
    scratch.seal();
    assert_eq!(scratch.findings(), Vec::<String>::new());
    let mut writer = scratch.writer();
    write(&mut writer, vec![numbered("open", 3)]);
    scratch.seal();
    assert_eq!((sorted(&scratch), scratch.findings()), (vec![0, 1, 2, 3], Vec::<String>::new()));
}
