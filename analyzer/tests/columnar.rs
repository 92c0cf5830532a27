//! A columnar store is asked like any other: order, times, one moment, and what is wrong with it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use analyzer::{Error, Query};
use common::{Columnar, File, OWN_COLUMNS, at, first, names, ns, rows};
use model::{Details, Extended, Tracking, ZonedTime};
use rusqlite::{Connection, params};
use serde_json::{Map, json};
use store::segment::{Limits, Moment, Sealer};

/// Returns a row of the tracer `open` with this number and time, and of the boot clock.
fn row(number: i64, time: i64, boot_ns: i64) -> Tracking {
    let fields = Map::from_iter([("ino".to_owned(), json!(u64::MAX)), ("size".to_owned(), json!(number))]);
    let time = ZonedTime { utc_ns: time, offset: 0 };
    let mut row = Tracking::new("open".into(), time.wall(), Extended::new(Details::Fields(fields)));
    (row.time, row.boot_ns, row.pid) = (Some(time), Some(boot_ns), Some(number));
    row
}

fn pids(query: &Query, columnar: &Columnar) -> Vec<String> {
    first(&columnar.store(), &Query { columns: names(&["pid"]), limit: 0, ..query.clone() })
}

/// Rows of several CPUs: times go back and forth, and batches overlap.
fn mixed() -> Columnar {
    let columnar = Columnar::new();
    let rows: Vec<_> =
        (0..3000).map(|number| row(number, ns(0) + number / 7 * 7 - number % 7 * 40, number)).collect();
    columnar.write("vm", &rows);
    columnar
}

#[test]
fn rows_come_in_order_without_being_sorted() {
    let columnar = mixed();
    let mut expected: Vec<i64> = (0..3000).collect();
    expected.sort_by_key(|number| (number / 7 * 7 - number % 7 * 40, *number));
    let text = |numbers: &[i64]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(pids(&Query::default(), &columnar), text(&expected));
    expected.reverse();
    let backwards = Query { desc: true, ..Query::default() };
    assert_eq!(pids(&backwards, &columnar), text(&expected));
    let store = columnar.store();
    let plan = store.query(&backwards).unwrap().explain().unwrap();
    assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{plan:?}");
    assert!(plan.iter().any(|step| step.contains("VIRTUAL TABLE")), "{plan:?}");
}

#[test]
fn only_batches_of_the_time_asked_for_are_read_and_damaged_ones_are_left_out() {
    let columnar = Columnar::new();
    (0..5).for_each(|part| {
        let rows: Vec<_> = (0..1000).map(|number| row(number, ns(part) + number, number)).collect();
        columnar.write("vm", &rows);
    });
    // Whatever is read of the others is an error.
    let damage = "UPDATE batch SET data = x'00' WHERE last < ? OR first > ?";
    let connection = Connection::open(&columnar.path).unwrap();
    assert!(connection.execute(damage, params![ns(2), ns(2) + 10_000]).unwrap() > 0);
    let query = Query { since: Some(ns(2)), until: Some(ns(2) + 10_000), limit: 0, ..Query::default() };
    assert_eq!(pids(&query, &columnar).len(), 1000);
    let store = columnar.store();
    assert_eq!(store.damaged(), []);
    // The rows of other batches are read all the same.
    let mut answer = store.query(&Query { limit: 0, ..Query::default() }).unwrap();
    let (whole, all): (i64, i64) = connection
        .query_row("SELECT sum(rows * (data <> x'00')), sum(rows) FROM batch", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!(whole >= 1000 && whole < all);
    assert_eq!(answer.rows().unwrap().map(Result::unwrap).count() as i64, whole);
    let left_out: i64 = store.damaged().iter().map(|batch| batch.rows).sum();
    assert_eq!(left_out, all - whole);
}

#[test]
fn an_answer_is_of_one_moment_while_the_agent_goes_on() {
    let columnar = mixed();
    let store = columnar.store();
    for query in [Query::default(), Query { desc: true, ..Query::default() }] {
        let before = store.brief().unwrap().tracers[0].count;
        let query = Query { columns: names(&["pid"]), limit: 0, ..query };
        let mut answer = store.query(&query).unwrap();
        let mut reading = answer.rows().unwrap();
        reading.next().unwrap().unwrap();
        columnar.write("vm", &[row(9999, ns(30), 1), row(9998, ns(0) - 1000, 1)]);
        assert_eq!(reading.count() as u64 + 1, before);
    }
}

#[test]
fn numbers_and_times_are_those_of_the_other_layout() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    let exact = format!(r#"{{"ino": {}, "flags": ["O_RDWR"], "nested": {{"a": [1, null]}}}}"#, u64::MAX);
    for second in 0..3 {
        file.row(&table, second.into(), &at(second), "cat\n", Some("/data/é"), &exact);
    }
    let (plain, columnar) = (file.store(), Columnar::of(&file));
    let columnar = columnar.store();
    let queries = [
        Query::default(),
        Query {
            columns: names(&["id", "dt", "time", "extended.ino", "nested.a", "flags"]),
            ..Query::default()
        },
        Query {
            wheres: vec!["extended.flags=O_RDWR".parse().unwrap(), "id=2".parse().unwrap()],
            ..Query::default()
        },
        Query {
            order_by: names(&["comm", "pid"]),
            distinct: true,
            columns: names(&["comm", "pid"]),
            ..Query::default()
        },
    ];
    for query in queries {
        assert_eq!(rows(&columnar, &query).unwrap(), rows(&plain, &query).unwrap(), "{query:?}");
    }
    let brief = |store: &analyzer::Store| {
        let mut tracers = store.brief().unwrap().tracers;
        tracers.retain(|tracer| tracer.count > 0);
        tracers
    };
    assert_eq!(brief(&columnar), brief(&plain));
    let unknown = store_error(&columnar, &Query { columns: names(&["siez"]), ..Query::default() });
    assert!(matches!(unknown, Error::UnknownColumn { .. }), "{unknown:?}");
}

fn store_error(store: &analyzer::Store, query: &Query) -> Error {
    rows(store, query).unwrap_err()
}

#[test]
fn the_rows_after_a_clock_was_set_back_follow_those_before() {
    let columnar = Columnar::new();
    // Boot clock: 0 to 9 s. At 5 s the wall clock was set back by 3 s.
    let second = 1_000_000_000;
    let wall = |boot: i64| if boot < 5 { boot } else { boot - 3 };
    let rows: Vec<_> = (0..10).map(|boot| row(boot, ns(0) + wall(boot) * second, boot * second)).collect();
    columnar.write("vm", &rows);
    let connection = Connection::open(&columnar.path).unwrap();
    let sql = "INSERT INTO duetector_actors_clock VALUES ('vm', ?, ?, ?)";
    connection.execute(sql, [5 * second, ns(0) - 3 * second, ns(0) + 5 * second]).unwrap();
    let expected: Vec<String> = (0..10).map(|boot| boot.to_string()).collect();
    assert_eq!(pids(&Query::default(), &columnar), expected);
}

#[test]
fn a_later_format_is_refused() {
    let columnar = mixed();
    Connection::open(&columnar.path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let error = analyzer::Store::open(&columnar.path).map(drop).unwrap_err();
    let Error::Format { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("(format 3, this version knows 2)"), "{source}");
    assert!(!error.is_usage());
}

#[test]
fn segments_that_are_removed_meanwhile_are_read_to_the_end() {
    let columnar = mixed().sealed(u64::MAX);
    let store = columnar.store();
    let query = Query { columns: names(&["pid"]), limit: 0, ..Query::default() };
    let moment = store.moment().unwrap();
    assert_eq!(rows(&store, &query).unwrap().len(), 3000);
    let mut connection = Connection::open(&columnar.path).unwrap();
    let zone = jiff::tz::TimeZone::UTC;
    // The rows are old enough. What readers have open is kept for hours from the present moment on.
    let utc_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    let mut sealer = Sealer::new(&mut connection, Moment { utc_ns, zone }).unwrap();
    let oldest = Some(Duration::from_secs(1));
    let limits = Limits { max_size: u64::MAX, max_age: oldest, min_free: 0, min_keep: Duration::ZERO };
    assert_eq!(sealer.prune(&limits).unwrap().removed.len(), 1);
    assert_eq!(rows(&store, &query).unwrap().len(), 3000);
    assert_eq!(store.damaged(), []);
    drop(moment);
    let removed = columnar.dir.path().join("segments/.removed");
    assert_eq!(removed.read_dir().unwrap().count(), 1);
    drop(store);
    sealer.prune(&limits).unwrap();
    assert_eq!(removed.read_dir().unwrap().count(), 0);
}
