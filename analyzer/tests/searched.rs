//! Queries for one process or file of a store with sealed files: only batches and row groups that can have such rows are read, and the
//! answer is the same as if all were read.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use analyzer::query::Where;
use analyzer::sql::Limits;
use analyzer::{Cell, Query, Sql};
use common::{Columnar, first, names, ns};
use model::{Details, ExecId, Extended, Tracking, ZonedTime};
use serde_json::{Map, json};
use store::ReadCounts;

/// Rows of a sealed file.
const PART: i64 = 100;

/// Returns a row of `open`: its process has 20 rows, its file is one of ten.
fn opened(number: i64) -> Tracking {
    let time = ZonedTime { utc_ns: ns(0) + number, offset: 0 };
    let fields = Map::from_iter([("ino".to_owned(), json!(number % 10 * 100))]);
    let mut row = Tracking::new("open".into(), time.wall(), Extended::new(Details::Fields(fields)));
    (row.time, row.pid) = (Some(time), Some(number));
    row.exec_id = Some(ExecId { pid: 1000 + (number / 20) as u32, start_ns: 7 });
    row.fname = Some(format!("/data/{:02}", number % 10).as_str().into());
    row
}

/// A store with five sealed files.
fn store(made: impl Fn(i64) -> Tracking) -> Columnar {
    let write = |columnar: Columnar, part: i64| {
        columnar.write("vm", &(part * PART..(part + 1) * PART).map(&made).collect::<Vec<_>>());
        columnar.sealed(u64::MAX)
    };
    (0..5).fold(Columnar::new(), write)
}

/// Returns the `pid` of the rows, and how batches were read.
fn asked(columnar: &Columnar, condition: &str) -> (Vec<String>, ReadCounts) {
    let mut query = Query { columns: names(&["pid"]), limit: 0, ..Query::default() };
    query.add(condition.parse::<Where>().unwrap());
    let store = columnar.store();
    let found = first(&store, &query);
    let counts = store.read_counts();
    let all = Query { narrow: false, ..query };
    assert_eq!(first(&columnar.store(), &all), found, "{condition}");
    (found, counts)
}

fn texts(numbers: impl Iterator<Item = i64>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[test]
fn one_process_or_file_is_found_without_reading_the_others() {
    let columnar = store(opened);
    let process = |from: i64| texts(from..from + 20);
    let skipped = |skipped, tested, read| ReadCounts { skipped, tested, read };
    for condition in ["exec_id=1006-7", "exec_id == '1006-7'"] {
        assert_eq!(asked(&columnar, condition), (process(120), skipped(4, 0, 1)), "{condition}");
    }
    let both = [process(120), process(480)].concat();
    assert_eq!(asked(&columnar, "exec_id in ['1006-7', '1024-7', 'x']"), (both, skipped(3, 0, 2)));
    for condition in
        ["fname=/data/055", "fname == '/data/055'", "ino=550", "ino == 550", "ino in [550, 550, 551]"]
    {
        assert_eq!(asked(&columnar, condition), (Vec::new(), skipped(5, 0, 0)), "{condition}");
    }
    let all = texts((0..500).filter(|number| number % 10 == 5));
    for condition in ["fname=/data/05", "fname == '/data/05'", "ino=500", "ino == 500"] {
        assert_eq!(asked(&columnar, condition), (all.clone(), skipped(0, 0, 5)), "{condition}");
    }
}

#[test]
fn rows_with_a_path_in_doubt_or_a_value_without_a_column_are_read() {
    let made = |number| {
        let mut row = opened(number);
        let fields = match number {
            150 => json!({"path_incomplete": true}),
            250 => json!({"ino": "550"}),
            350 => json!({"ino": [550, "x"]}),
            _ => json!({"ino": 7}),
        };
        let serde_json::Value::Object(fields) = fields else { panic!("an object") };
        row.extended = Extended::new(Details::Fields(fields));
        row.fname = Some(if number == 150 { "05" } else { "/data/00" }.into());
        row
    };
    let columnar = store(made);
    // The row in doubt has no answer, which is counted.
    let (found, counts) = asked(&columnar, "fname == '/data/05'");
    assert_eq!((found.len(), counts), (0, ReadCounts { skipped: 4, tested: 0, read: 1 }));
    let store = columnar.store();
    let mut query = Query { columns: names(&["pid"]), limit: 0, ..Query::default() };
    query.add("fname == '/data/05'".parse::<Where>().unwrap());
    let mut answer = store.query(&query).unwrap();
    assert_eq!(answer.rows().unwrap().count(), 0);
    assert_eq!(answer.undecided().map(|undecided| undecided.rows), Some(1));
    // As a text, and in a list.
    let (found, counts) = asked(&columnar, "ino=550");
    assert_eq!(
        (found, counts),
        (texts([250, 350].into_iter()), ReadCounts { skipped: 3, tested: 0, read: 2 })
    );
}

#[test]
fn a_list_of_values_in_sql_is_sought_at_once() {
    let columnar = store(opened);
    let sql = |text: &str| {
        let sql = Sql::new(columnar.store(), Limits::default()).unwrap();
        let mut answer = sql.query(text).unwrap();
        let row = answer.rows().unwrap().next().unwrap().unwrap();
        drop(answer);
        let Cell::Integer(count) = row.cells[0] else { panic!("a number") };
        (count, sql.store().read_counts())
    };
    let (count, counts) =
        sql("SELECT count(*) FROM open WHERE exec_id IN (SELECT '1006-7' UNION ALL SELECT '1007-7')");
    assert_eq!((count, counts), (40, ReadCounts { skipped: 4, tested: 0, read: 1 }));
    let (count, counts) = sql("SELECT count(*) FROM events WHERE exec_id = '1006-7'");
    assert_eq!((count, counts), (20, ReadCounts { skipped: 4, tested: 0, read: 1 }));
    // SQLite takes the text for the number; no filter of the file does.
    assert_eq!(sql("SELECT count(*) FROM open WHERE ino = '500'").0, 50);
    assert_eq!(sql("SELECT count(*) FROM open WHERE ino IN ('500', 100, NULL, 1.5)").0, 100);
    assert_eq!(sql("SELECT count(*) FROM open WHERE ino IN (SELECT pid FROM open)").0, 250);
}
