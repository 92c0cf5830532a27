//! Queries and their answers, on small stores with rows that can be counted by hand.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use analyzer::{Condition, Error, Query};
use common::{DUETECTOR_COLUMNS, File, OWN_COLUMNS, at, names, ns, rows, show};

/// Three rows of `open` on two collectors and one of `exit`, stored out of order.
fn sample() -> File {
    let file = File::new();
    let ours = file.table("open", "vm", OWN_COLUMNS);
    let theirs = file.table("open", "other", DUETECTOR_COLUMNS);
    let exit = file.table("exit", "vm", OWN_COLUMNS);
    file.row(
        &ours,
        3,
        &at(30),
        "cat",
        Some("/data/c"),
        r#"{"errno": "ENOENT", "dev": 7, "argv": ["a", "b"]}"#,
    );
    file.row(&ours, 1, &at(10), "cat", Some("/data/a"), r#"{"dev": 8, "thread": true, "deep": {"er": 1.5}}"#);
    file.row(&theirs, 2, &at(20), "sed", Some("/data/b"), r#"{"tracer_name": "open", "dev": "7"}"#);
    file.row(&exit, 4, &at(40), "sed", None, r#"{"code": 1}"#);
    file
}

fn pids(query: &Query) -> Vec<String> {
    sample().stores().first(&Query { columns: names(&["pid"]), ..query.clone() })
}

fn pids_where(conditions: &[&str]) -> Vec<String> {
    let wheres = conditions.iter().map(|text| text.parse().unwrap()).collect();
    pids(&Query { wheres, ..Query::default() })
}

#[test]
fn tables_are_merged_by_time() {
    assert_eq!(pids(&Query::default()), ["1", "2", "3", "4"]);
    assert_eq!(pids(&Query { desc: true, ..Query::default() }), ["4", "3", "2", "1"]);
}

#[test]
fn start_and_limit_count_over_all_tables() {
    assert_eq!(pids(&Query { start: 1, limit: 2, ..Query::default() }), ["2", "3"]);
    assert_eq!(pids(&Query { start: 3, limit: 0, ..Query::default() }), ["4"]);
    assert_eq!(pids(&Query { start: u64::MAX, limit: u64::MAX, ..Query::default() }), [""; 0]);
}

#[test]
fn the_default_limit_is_twenty_rows() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    for pid in 0..30 {
        file.row(&table, pid, &at(1), "x", None, "{}");
    }
    for store in &file.stores().stores {
        assert_eq!(rows(store, &Query::default()).unwrap().len(), 20);
        assert_eq!(rows(store, &Query { limit: 0, ..Query::default() }).unwrap().len(), 30);
    }
}

#[test]
fn tracers_and_collectors_can_be_selected() {
    let of = |tracer: &str| Query { tracers: names(&[tracer]), ..Query::default() };
    assert_eq!(pids(&of("open")), ["1", "2", "3"]);
    assert_eq!(pids(&of("exit")), ["4"]);
    assert_eq!(pids(&of("nope")), [""; 0]);
    assert_eq!(pids(&Query { collector_id: Some("other".to_owned()), ..Query::default() }), ["2"]);
    assert_eq!(pids_where(&["tracer=open", "collector_id=vm"]), ["1", "3"]);
}

#[test]
fn addresses_are_found_by_network() {
    let file = File::new();
    let table = file.table("connect", "vm", OWN_COLUMNS);
    for (pid, daddr) in (1..).zip(["10.1.2.3", "::ffff:10.1.2.3", "11.1.2.3", "::1", "/run/socket"]) {
        file.row(&table, pid, &at(1), "x", None, &format!("{{\"daddr\": \"{daddr}\"}}"));
    }
    file.row(&table, 9, &at(1), "x", None, "{}");
    let found = |text: &str| {
        let mut query = Query { columns: names(&["pid"]), ..Query::default() };
        query.add(text.parse().unwrap());
        file.stores().first(&query)
    };
    assert_eq!(found("inCidr(daddr, '10.0.0.0/8')"), ["1", "2"]);
    assert_eq!(found("inCidr(daddr, '::/0')"), ["2", "4"]);
    assert_eq!(found("!inCidr(daddr, '0.0.0.0/0')"), ["4", "5", "9"]);
    let error = "inCidr(daddr, '10.0.0.0/33')".parse::<analyzer::query::Where>().unwrap_err();
    assert!(error.contains("\"10.0.0.0/33\" is no network"), "{error}");
}

#[test]
fn conditions_are_joined_by_and() {
    assert_eq!(pids_where(&["comm=cat"]), ["1", "3"]);
    assert_eq!(pids_where(&["comm=cat", "pid=3"]), ["3"]);
    assert_eq!(pids_where(&["fname=null"]), ["4"]);
    assert_eq!(pids_where(&["exe=null", "comm=sed"]), ["2", "4"]);
}

#[test]
fn fields_of_extended_are_compared_by_their_type() {
    assert_eq!(pids_where(&["extended.dev=7"]), ["2", "3"]);
    assert_eq!(pids_where(&["dev=07"]), ["3"]);
    assert_eq!(pids_where(&["errno=ENOENT"]), ["3"]);
    assert_eq!(pids_where(&["thread=true"]), ["1"]);
    assert_eq!(pids_where(&["argv=[\"a\" ,\"b\"]"]), ["3"]);
    // One of a list, or text that is no JSON.
    assert_eq!(pids_where(&["argv=a"]), ["3"]);
    assert_eq!(pids_where(&["argv=b"]), ["3"]);
    assert_eq!(pids_where(&["argv=a b"]), [""; 0]);
    assert_eq!(pids_where(&["extended.deep=no json"]), [""; 0]);
    assert_eq!(pids_where(&["extended.deep={\"er\": 1.5}"]), ["1"]);
    assert_eq!(pids_where(&["extended.deep.er=1.50"]), ["1"]);
    assert_eq!(pids_where(&["extended.dev=null"]), ["4"]);
    assert_eq!(pids_where(&["extended.nosuch=null"]), ["1", "2", "3", "4"]);
    // A field that only these rows have; it is in no list of known fields.
    assert_eq!(pids_where(&["tracer_name=open"]), ["2"]);
}

#[test]
fn times_bound_on_both_ends() {
    let query = Query { since: Some(ns(20)), until: Some(ns(30)), ..Query::default() };
    assert_eq!(pids(&query), ["2", "3"]);
}

#[test]
fn any_column_orders() {
    let by = |column: &str| Query { order_by: names(&[column]), ..Query::default() };
    assert_eq!(pids(&by("comm")), ["1", "3", "2", "4"]);
    assert_eq!(pids(&Query { desc: true, ..by("fname") }), ["3", "2", "1", "4"]);
    assert_eq!(pids(&Query { limit: 2, ..by("code") }), ["1", "2"]);
}

#[test]
fn distinct_rows_over_all_tables() {
    let query = Query { columns: names(&["comm"]), distinct: true, ..Query::default() };
    let stores = sample().stores();
    assert_eq!(stores.first(&query), ["\"cat\"", "\"sed\""]);
    assert_eq!(stores.first(&Query { desc: true, ..query.clone() }), ["\"sed\"", "\"cat\""]);
    let hidden = Query { order_by: names(&["pid"]), ..query };
    for store in &stores.stores {
        assert!(matches!(rows(store, &hidden), Err(Error::HiddenOrder { column }) if column == "pid"));
    }
}

#[test]
fn fields_are_columns_too() {
    let query = Query { columns: names(&["extended.argv", "dev", "tracer", "id"]), ..Query::default() };
    for store in &sample().stores().stores {
        let rows = rows(store, &query).unwrap();
        let shown: Vec<Vec<String>> = rows.iter().map(|row| row.cells.iter().map(show).collect()).collect();
        assert_eq!(shown[2], [r#"["a","b"]"#, "7", "\"open\"", "1"]);
        assert_eq!(shown[3], ["null", "null", "\"exit\"", "1"]);
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let stores = sample().stores();
    let refused = |query: Query| {
        let errors = stores.stores.iter().map(|store| rows(store, &query).unwrap_err());
        errors
            .reduce(
                |one, other| if one.to_string() == other.to_string() { one } else { panic!("{one} {other}") },
            )
            .unwrap()
    };
    for (asked, nearest) in
        [("pidd", "pid"), ("fnam", "fname"), ("errn", "errno"), ("tracer_nam", "tracer_name")]
    {
        let error = refused(Query { wheres: vec![Condition::equal(asked, "1")], ..Query::default() });
        assert_eq!(error.to_string(), format!("unknown column {asked:?}; did you mean {nearest:?}?"));
        assert!(error.is_usage());
        refused(Query { columns: names(&[asked]), ..Query::default() });
        refused(Query { order_by: names(&[asked]), ..Query::default() });
    }
    let error =
        refused(Query { wheres: vec![Condition::equal("pid", "1; DROP TABLE x")], ..Query::default() });
    assert_eq!(error.to_string(), "column pid: expected a whole number or null, found \"1; DROP TABLE x\"");
}

#[test]
fn names_and_values_are_never_sql() {
    let hostile = ["x\" OR 1=1 --", "'; DROP TABLE t; --", "a\") UNION SELECT 1", "$", "", "\0", "a'b"];
    let file = sample();
    for store in &file.stores().stores {
        for text in hostile {
            let query = Query { columns: vec![format!("extended.{text}")], ..Query::default() };
            let _ = rows(store, &query);
            let wheres = vec![Condition::equal("comm", text)];
            assert!(rows(store, &Query { wheres, ..Query::default() }).unwrap().is_empty());
            assert!(rows(store, &Query { tracers: names(&[text]), ..Query::default() }).unwrap().is_empty());
        }
        assert_eq!(rows(store, &Query::default()).unwrap().len(), 4);
    }
}

#[test]
fn an_empty_store_has_no_rows() {
    let file = File::new();
    file.connection.execute_batch("CREATE TABLE other (x)").unwrap();
    assert!(rows(&file.store(), &Query::default()).unwrap().is_empty());
    assert!(
        rows(&file.store(), &Query { wheres: vec![Condition::null("errno")], ..Query::default() })
            .unwrap()
            .is_empty()
    );
}
