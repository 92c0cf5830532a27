//! Evidence of what an answer may lack: exactly the losses, blind spots, removed rows, times without an agent and damage that touch it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use analyzer::evidence::Gap;
use analyzer::{Evidence, Span, Store};
use common::{Columnar, File, OWN_COLUMNS, at, ns};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

fn add(file: &File, table: &str, second: u32, (uid, count): (Option<i64>, Option<i64>), extended: &Value) {
    let sql = format!("INSERT INTO {table} (uid, count, dt, time, extended) VALUES (?, ?, ?, ?, ?)");
    file.connection.execute(&sql, params![uid, count, at(second), ns(second), extended.to_string()]).unwrap();
}

fn text(second: u32) -> String {
    common::time(&at(second)).to_text()
}

fn span(since: u32, until: u32) -> Span {
    Span { since: ns(since), until: ns(until) }
}

/// Returns a file with losses of `open` and `usage`, of users, and of another sink.
fn with_losses() -> File {
    let file = File::new();
    let table = file.table("loss", "vm", OWN_COLUMNS);
    let loss = |tracer: &str, from: u32, to: u32, sink: Option<&str>| {
        let mut fields = json!({
            "lost_tracer": tracer, "from": at(from), "to": at(to), "from_time": text(from), "to_time": text(to), "place": "ring", "cause": "the ring was full",
        });
        if let Some(sink) = sink {
            fields["sink"] = sink.into();
        }
        fields
    };
    // Written later than the gap ended.
    add(&file, &table, 40, (None, Some(7)), &loss("open", 10, 12, None));
    add(&file, &table, 41, (Some(1000), Some(8)), &loss("open", 20, 22, None));
    add(&file, &table, 42, (Some(1001), Some(9)), &loss("usage", 20, 22, None));
    add(&file, &table, 43, (None, Some(10)), &loss("open", 20, 22, Some("jsonl")));
    add(&file, &table, 44, (None, Some(0)), &loss("usage", 30, 31, None));
    file
}

fn counts(gaps: &[Gap]) -> Vec<Option<i64>> {
    gaps.iter().map(|gap| gap.count).collect()
}

/// Returns the gaps of tracers in a stretch of time, which are the same in all kinds of stores.
fn gaps(file: &File, span: Span, tracers: &[&str]) -> Vec<Gap> {
    let all = file.stores();
    let stores = &all.stores;
    let of = |store: &Store| Evidence::of(store, span, tracers).unwrap();
    let lost = |store| {
        let gaps = of(store).gaps.into_iter();
        gaps.filter(|gap| gap.tracer.is_some()).collect::<Vec<_>>()
    };
    let expected = lost(&stores[0]);
    for (number, store) in stores.iter().enumerate() {
        assert_eq!(lost(store), expected, "store {number}, {:?}: {:?}", store.path(), of(store));
        assert_eq!(of(store).complete, of(store).lossless && of(store).blind.is_empty());
    }
    expected
}

#[test]
fn losses_count_if_they_touch_the_time_and_the_tracers() {
    let file = with_losses();
    assert_eq!(counts(&gaps(&file, Span::ALL, &["open"])), [Some(7), Some(8)]);
    assert_eq!(counts(&gaps(&file, Span::ALL, &["open", "usage"])), [Some(7), Some(8), Some(9), None]);
    assert_eq!(counts(&gaps(&file, span(12, 19), &["open", "usage"])), [Some(7)]);
    assert_eq!(counts(&gaps(&file, span(13, 19), &["open", "usage"])), []);
    assert_eq!(counts(&gaps(&file, span(21, 21), &["usage", "exec"])), [Some(9)]);
    assert_eq!(counts(&gaps(&file, Span::ALL, &["exec"])), []);
}

#[test]
fn losses_of_other_users_do_not_touch_an_answer_about_one() {
    let mut evidence = Evidence::of(&with_losses().store(), Span::ALL, &["open", "usage"]).unwrap();
    evidence.of_users(&[1001]);
    // Nobody knows whose the first and the last ones were.
    assert_eq!(counts(&evidence.gaps), [Some(7), Some(9), None]);
}

fn manifest(tracer: &str, unseen: &[&str], degraded: &[&str]) -> Value {
    json!({"tracer": tracer, "state": "attached", "unseen": unseen, "degraded": degraded})
}

fn blind(store: &Store, span: Span, tracers: &[&str]) -> Vec<(String, String)> {
    let spots = Evidence::of(store, span, tracers).unwrap().blind.into_iter();
    spots.map(|spot| (spot.tracer, spot.what)).collect()
}

#[test]
fn blind_spots_are_those_of_the_time_and_the_tracers() {
    let file = File::new();
    let table = file.table("manifest", "vm", OWN_COLUMNS);
    add(&file, &table, 1, (None, None), &manifest("open", &["a"], &[]));
    add(&file, &table, 2, (None, None), &manifest("usage", &["b"], &[]));
    add(&file, &table, 20, (None, None), &manifest("open", &["a", "c"], &["d"]));
    add(&file, &table, 30, (None, None), &manifest("open", &[], &[]));
    let own = |spots: &[(&str, &str)]| {
        spots.iter().map(|(tracer, what)| ((*tracer).to_owned(), (*what).to_owned())).collect::<Vec<_>>()
    };
    for store in &file.stores().stores {
        assert_eq!(blind(store, span(5, 10), &["open"]), own(&[("open", "a")]));
        assert_eq!(blind(store, span(5, 25), &["open"]), own(&[("open", "a"), ("open", "c"), ("open", "d")]));
        assert_eq!(blind(store, span(30, 40), &["open", "usage"]), own(&[("usage", "b")]));
        let unknown = blind(store, span(30, 40), &["exec"]);
        assert!(
            unknown.len() == 1 && unknown[0].1.contains("nothing says that the tracer ran"),
            "{unknown:?}"
        );
    }
}

#[test]
fn removed_rows_count_if_they_touch_the_time() {
    let file = File::new();
    let table = file.table("retention", "vm", OWN_COLUMNS);
    let fields = json!({"segment": "x-1", "from": at(5), "to": at(9), "from_time": text(5), "to_time": text(9), "cause": "no room", "bytes": 1});
    add(&file, &table, 40, (None, Some(99)), &fields);
    for store in &file.stores().stores {
        let removed = |span| Evidence::of(store, span, &["open"]).unwrap().removed;
        assert_eq!(removed(span(9, 30)).iter().map(|part| part.rows).collect::<Vec<_>>(), [99]);
        assert_eq!((removed(span(10, 30)).len(), removed(Span::ALL)[0].segment.as_str()), (0, "x-1"));
    }
}

#[test]
fn times_without_an_agent_are_gaps() {
    let file = File::new();
    file.table("open", "vm", OWN_COLUMNS);
    file.connection
        .execute_batch(
            "CREATE TABLE duetector_actors_run (run_id TEXT PRIMARY KEY, collector_id TEXT NOT NULL, started TEXT NOT NULL,
             ended TEXT, version TEXT NOT NULL, adopted TEXT, written TEXT)",
        )
        .unwrap();
    let run = |number: u32, (from, to): (u32, Option<u32>), written: u32, adopted: Option<&str>| {
        let id = format!("{:x}-{number}", ns(from));
        let values = params![id, at(from), to.map(at), adopted, at(written)];
        let sql = "INSERT INTO duetector_actors_run VALUES (?1, 'vm', ?2, ?3, '1', ?4, ?5)";
        file.connection.execute(sql, values).unwrap();
    };
    run(1, (10, Some(20)), 20, None);
    run(2, (25, None), 28, None);
    run(3, (30, Some(33)), 33, Some("2"));
    let store = file.store();
    let gaps = |span| {
        let gaps = Evidence::of(&store, span, &["open"]).unwrap().gaps;
        gaps.iter().map(|gap| (gap.from.utc_ns, gap.to.utc_ns)).collect::<Vec<_>>()
    };
    let times =
        |times: &[(u32, u32)]| times.iter().map(|(from, to)| (ns(*from), ns(*to))).collect::<Vec<_>>();
    // The third run has taken over the rings of the second one, which was killed.
    assert_eq!(gaps(Span::ALL), times(&[(20, 25)]));
    assert_eq!(gaps(span(5, 22)), times(&[(5, 10), (20, 22)]));
    assert_eq!(gaps(span(26, 40)), times(&[(33, 40)]));
    assert_eq!(gaps(span(11, 19)), []);
    // A time that is outside of all runs, and has no end on one side.
    assert_eq!(gaps(Span::new(Some(ns(40)), None)), times(&[(40, 40)]));
    assert_eq!(gaps(Span::new(None, Some(ns(5)))), times(&[(5, 5)]));
    assert_eq!(gaps(Span::new(Some(ns(31)), None)), []);
}

#[test]
fn damaged_batches_are_part_of_the_evidence_once_they_were_met() {
    let file = File::new();
    let table = file.table("loss", "vm", OWN_COLUMNS);
    add(&file, &table, 1, (None, Some(1)), &json!({"lost_tracer": "open", "from": at(1), "to": at(1)}));
    let columnar = Columnar::of(&file);
    let connection = Connection::open(&columnar.path).unwrap();
    connection.execute("UPDATE batch SET data = zeroblob(10)", []).unwrap();
    let evidence = Evidence::of(&columnar.store(), Span::ALL, &["open"]).unwrap();
    assert_eq!(evidence.damaged.iter().map(|damage| damage.rows).collect::<Vec<_>>(), [1]);
    assert!(!evidence.complete && !evidence.lossless);
}
