//! Expressions in queries: SQLite selects exactly the rows for which the expression is true in memory, whether or not tests
//! of single columns come first, and for any order, limit and columns.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use analyzer::{Cell, Query, Store};
use common::{DUETECTOR_COLUMNS, File, OWN_COLUMNS, first, names};
use expression::{EvalError, Expression, Schema};
use model::{Details, ExecId, Extended, TracerName, Tracking, WallTime};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rusqlite::params;
use serde_json::{Map, Value};

/// 2026-01-31 12:00:00
const NOON: i64 = 1_769_860_800_000_000;

fn compiled(text: &str) -> Expression {
    Expression::compile(text, &Schema::default()).unwrap_or_else(|error| panic!("{}", error.show(text)))
}

fn option<T: std::fmt::Debug + Clone + 'static>(of: &'static [T]) -> impl Strategy<Value = Option<T>> {
    prop::option::of(prop::sample::select(of))
}

fn extended() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        Just(Value::Null),
        (0..3_i64).prop_map(Value::from),
        Just(Value::from(u64::MAX)),
        Just(Value::from(1.5)),
        prop::sample::select(&["ENOENT", "x", "1"][..]).prop_map(Value::from),
        prop::collection::vec(prop::sample::select(&["O_RDWR", "x"][..]), 0..3).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    let name =
        prop::sample::select(&["errno", "flags", "x", "a-b", "mode", "new_path", "path_incomplete"][..])
            .prop_map(str::to_owned);
    prop::collection::btree_map(name, value, 0..4).prop_map(|map| map.into_iter().collect())
}

prop_compose! {
    fn row()(
        tracer in prop::sample::select(&["open", "exec"][..]),
        pid in option(&[1, 7, i64::MAX]),
        uid in option(&[0, 1, 1000]),
        comm in option(&["sh", "x", "", "ENOENT"]),
        fname in option(&["/data/a", "/data/é", "/d", "a\\xffb"]),
        container_id in option(&["c1", "x"]),
        exec_id in option(&[ExecId { pid: 7, start_ns: 1 }]),
        dt in option(&[WallTime(NOON), WallTime(NOON + 1), WallTime(NOON - 86_400_000_000)]),
        fields in extended(),
    ) -> Tracking {
        let mut row = Tracking::new(TracerName::new(tracer), WallTime(0), Extended::new(Details::Fields(fields)));
        (row.pid, row.uid, row.dt, row.exec_id) = (pid, uid, dt, exec_id);
        (row.comm, row.fname) = (comm.map(Into::into), fname.map(Into::into));
        row.container_id = container_id.map(Into::into);
        row
    }
}

fn leaf() -> BoxedStrategy<String> {
    let number = || {
        prop::sample::select(
            &["uid", "pid", "0", "1", "7", "1.5", "1000", "-1", "extended.x", "extended.mode"][..],
        )
    };
    let text = || {
        prop::sample::select(
            &[
                "comm",
                "fname",
                "container_id",
                "tracer",
                "'x'",
                "'open'",
                "'/data/'",
                "'a\\\\xff'",
                "errno",
                "'ENOENT'",
                "extended.new_path",
                "''",
            ][..],
        )
    };
    let time = || {
        prop::sample::select(
            &["dt", "timestamp('2026-01-31 12:00:00')", "timestamp('2026-01-31')", "dt + duration('1us')"][..],
        )
    };
    let relation = || prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    prop_oneof![
        (number(), relation(), number()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text(), relation(), text()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (time(), relation(), time()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text(), text()).prop_map(|(a, b)| format!("{a}.startsWith({b})")),
        number().prop_map(|a| format!("{a} in [0, 1, 7, 9]")),
        text().prop_map(|a| format!("{a} in ['x', 'open', 'sh', '/d', '/data/a', 'ENOENT']")),
        text().prop_map(|a| format!("{a} == null")),
        text().prop_map(|a| format!("extended['a-b'] == {a} || {a} in extended.flags")),
        Just("exec_id == '7-1' && has(extended.mode)".to_owned()),
        Just("extended[comm] != null".to_owned()),
        Just("ppid > 1 || exe == 'x' || ret != 0".to_owned()),
    ]
    .boxed()
}

fn expression() -> BoxedStrategy<String> {
    let both = (leaf(), leaf()).prop_map(|(a, b)| format!("{a} && {b}"));
    prop_oneof![
        leaf(),
        both.clone(),
        (both, leaf()).prop_map(|(a, b)| format!("({a}) && {b}")),
        (leaf(), leaf()).prop_map(|(a, b)| format!("({a}) || !({b})")),
        (leaf(), leaf(), leaf()).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
    ]
    .boxed()
}

/// Writes rows to a store; the gid of each is its index.
fn store(rows: &[Tracking]) -> File {
    let file = File::new();
    // Speed matters, durability does not.
    file.connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; BEGIN").unwrap();
    let tables = ["open", "exec"].map(|tracer| (tracer, file.table(tracer, "vm", OWN_COLUMNS)));
    for (number, row) in rows.iter().enumerate() {
        let (_, table) = tables.iter().find(|(tracer, _)| *tracer == row.tracer.as_str()).unwrap();
        let sql = format!(
            "INSERT INTO {table} (gid, pid, uid, comm, fname, container_id, exec_id, dt, extended)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        let text = |text: &Option<model::Text>| text.as_ref().map(|text| text.to_str().into_owned());
        let extended = serde_json::to_string(&row.extended).unwrap();
        let (exec_id, dt) = (row.exec_id.map(|id| id.to_string()), row.dt.map(WallTime::to_text));
        let container_id = row.container_id.as_deref();
        let values = params![
            number as i64,
            row.pid,
            row.uid,
            text(&row.comm),
            text(&row.fname),
            container_id,
            exec_id,
            dt,
            extended
        ];
        file.connection.execute(&sql, values).unwrap();
    }
    file.connection.execute_batch("COMMIT").unwrap();
    file
}

fn numbers(store: &Store, query: &Query) -> (Vec<i64>, Option<(u64, EvalError)>) {
    let mut answer = store.query(query).unwrap();
    let numbers = answer.rows().unwrap().map(|row| match row.unwrap().cells[0] {
        Cell::Integer(number) => number,
        ref other => panic!("{other:?}"),
    });
    let numbers = numbers.collect();
    (numbers, answer.undecided().map(|undecided| (undecided.rows, undecided.first)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_in_a_store_are_those_in_memory(
        rows in prop::collection::vec(row(), 0..12),
        texts in prop::collection::vec(expression(), 1..3),
        (start, limit, desc) in (0..4_usize, 0..6_usize, any::<bool>()),
    ) {
        // Constant parts may be refused when they are compiled: "'x' > 'y'" is fine, "1 / 0" is not.
        let expressions: Vec<Expression> = texts.iter().map(|text| compiled(text)).collect();
        let mut own: Vec<Tracking> = rows.clone();
        // Rows are identified by their gid.
        own.iter_mut().enumerate().for_each(|(number, row)| row.gid = Some(number as i64));
        let holds = |row: &Tracking| expressions.iter().all(|expression| expression.matches(row) == Ok(true));
        let mut expected: Vec<i64> = own.iter().filter(|row| holds(row)).filter_map(|row| row.gid).collect();
        if desc {
            expected.reverse();
        }
        let end = if limit == 0 { expected.len() } else { expected.len().min(start + limit) };
        let expected = &expected[start.min(end)..end];

        let file = store(&rows);
        let query = Query {
            expressions: expressions.clone(),
            columns: names(&["gid"]),
            order_by: names(&["gid"]),
            desc,
            start: start as u64,
            limit: limit as u64,
            ..Query::default()
        };
        let wide = Query { narrow: false, ..query.clone() };
        let distinct = Query { distinct: true, ..query.clone() };
        for store in &file.stores().stores {
            for query in [&query, &wide, &distinct] {
                prop_assert_eq!(&numbers(store, query).0, expected, "{:?} {:?}", texts, store.path());
            }
        }
    }
}

#[test]
fn rows_without_a_result_are_left_out_and_counted() {
    let file = File::new();
    let table = file.table("mine", "vm", OWN_COLUMNS);
    for (pid, size) in [(1, "5"), (2, "\"large\""), (3, "500"), (4, "[]"), (5, "null")] {
        file.row(&table, pid, "2026-01-31 12:00:00.000000", "x", None, &format!("{{\"size\": {size}}}"));
    }
    let expressions = vec![compiled("extended.size > 100")];
    let query = Query { expressions, columns: names(&["pid"]), ..Query::default() };
    let store = file.store();
    let (found, undecided) = numbers(&store, &query);
    assert_eq!(found, [3]);
    assert_eq!(undecided, Some((2, EvalError::Type { operation: ">", found: "string" })));
    // One store answers any number of queries at once.
    assert_eq!(numbers(&store, &query).0, [3]);
    let mut two = [store.query(&query).unwrap(), store.query(&query).unwrap()];
    assert_eq!(two.each_mut().map(|answer| answer.rows().unwrap().count()), [1, 1]);
}

#[test]
fn a_path_that_is_not_known_as_a_whole_is_no_answer() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    let at = "2026-01-31 12:00:00.000000";
    let rows = [
        ("/data/a", "{}"),
        ("deep/b", "{\"path_incomplete\": true}"),
        ("/data/c", "{\"path_unresolved\": true}"),
        ("/data/d", "{\"path_incomplete\": true, \"new_path\": \"deep/e\"}"),
    ];
    for (pid, (fname, extended)) in (1..).zip(rows) {
        file.row(&table, pid, at, "a", Some(fname), extended);
    }
    let store = file.store();
    let cases: [(&str, &[i64], u64); 6] = [
        ("fname.startsWith('/data/')", &[1, 3, 4], 1),
        ("fname == '/data/a'", &[1], 0),
        ("fname in ['/data/a', '/x/deep/b', '/y']", &[1], 1),
        ("fname.endsWith('eep/b') || fname == '/data/d'", &[2, 4], 0),
        ("uid == 1 && fname == '/data/c'", &[], 0),
        ("new_path == '/deep/e'", &[], 1),
    ];
    for (text, expected, undecided) in cases {
        let expressions = vec![compiled(text)];
        let query = Query { expressions, columns: names(&["pid"]), ..Query::default() };
        let (found, tally) = numbers(&store, &query);
        let counted = tally.map_or(0, |(rows, cause)| {
            assert_eq!(cause, EvalError::Incomplete);
            rows
        });
        assert_eq!((found.as_slice(), counted), (expected, undecided), "{text}");
    }
}

#[test]
fn files_of_other_writers_may_have_fewer_columns_and_odd_cells() {
    let file = File::new();
    let table = file.table("open", "py", DUETECTOR_COLUMNS);
    file.row(&table, 1, "2026-01-31 12:00:00.000000", "a", Some("/data/x"), "{\"x\": NaN, \"y\": 1}");
    file.row(&table, 2, "2026-01-31T12:00:00", "b", None, "no JSON");
    file.connection
        .execute(&format!("UPDATE {table} SET uid = 'root', comm = x'ff' WHERE pid = 2"), ())
        .unwrap();
    let store = file.store();
    let cases: [(&str, &[&str]); 8] = [
        ("extended.y == 1 && extended.x == null", &["1"]),
        ("extended.y == null", &["2"]),
        ("exe == null && ppid == null && !(ppid > 1)", &["1", "2"]),
        ("dt >= timestamp('2026-01-01')", &["1"]),
        ("dt == null", &["2"]),
        ("uid == 0", &["1"]),
        ("uid == null && comm == null", &["2"]),
        ("uid != 0 && comm != 'a'", &["2"]),
    ];
    for (text, expected) in cases {
        for narrow in [true, false] {
            let expressions = vec![compiled(text)];
            let query = Query { expressions, narrow, columns: names(&["pid"]), ..Query::default() };
            assert_eq!(first(&store, &query), expected, "{text}");
        }
    }
}
