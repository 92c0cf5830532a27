//! Time: rows are ordered and selected by UTC, also rows of files that have only local time, and pages don't overlap.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use analyzer::{Query, when};
use common::{DUETECTOR_COLUMNS, File, OLD_COLUMNS, OWN_COLUMNS, at, first, names, ns, rows, show, time};

const RUNS: &str = "CREATE TABLE duetector_actors_run (run_id TEXT PRIMARY KEY, collector_id TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT, version TEXT NOT NULL, adopted TEXT, written TEXT);";

fn pids(file: &File, query: &Query) -> Vec<String> {
    first(&file.store(), &Query { columns: names(&["pid"]), limit: 0, ..query.clone() })
}

/// Returns 2026-01-31 12:00 UTC plus this number of seconds, in nanoseconds.
fn utc(second: i64) -> i64 {
    1_769_860_800_000_000_000 + second * 1_000_000_000
}

#[test]
fn rows_without_a_time_are_among_the_others_by_their_dt() {
    let file = File::new();
    let ours = file.table("open", "vm", OWN_COLUMNS);
    let old = file.table("exec", "vm", OLD_COLUMNS);
    let theirs = file.table("open", "python", DUETECTOR_COLUMNS);
    file.connection.execute_batch(&format!("CREATE INDEX by_time ON {ours} (time)")).unwrap();
    for (pid, table) in [(4, &ours), (1, &old), (3, &theirs), (2, &ours), (5, &old)] {
        file.row(table, pid, &at(pid as u32), "x", None, "{}");
    }
    // One that Python duetector adds to a table of ours.
    file.row(&ours, 6, &at(6), "x", None, "{}");
    file.connection.execute_batch(&format!("UPDATE {ours} SET time = NULL WHERE pid IN (2, 6)")).unwrap();
    let all = Query::default();
    assert_eq!(pids(&file, &all), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(pids(&file, &Query { desc: true, ..all.clone() }), ["6", "5", "4", "3", "2", "1"]);
    let some = Query { since: Some(ns(2)), until: Some(ns(5)), ..all.clone() };
    assert_eq!(pids(&file, &some), ["2", "3", "4", "5"]);
    let shown = first(&file.store(), &Query { columns: names(&["time"]), ..all.clone() });
    let expected: Vec<String> = (1..=6).map(|second| format!("{:?}", time(&at(second)).to_text())).collect();
    assert_eq!(shown, expected);
    let text = format!("time={}", time(&at(3)).to_text());
    assert_eq!(pids(&file, &Query { wheres: vec![text.parse().unwrap()], ..all.clone() }), ["3"]);
    let mut later = all.clone();
    later.add(format!("time > timestamp('{}')", time(&at(4)).to_text()).parse().unwrap());
    assert_eq!(pids(&file, &later), ["5", "6"]);
    let brief = serde_json::to_value(file.store().brief().unwrap()).unwrap();
    let open = brief["tracers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["collector_id"] == "vm" && it["tracer"] == "open");
    let ends = [&open.unwrap()["start"], &open.unwrap()["end"]];
    assert_eq!(ends, [&time(&at(2)).to_text(), &time(&at(6)).to_text()]);
}

#[test]
fn a_file_of_a_version_before_is_read_in_the_zone_of_its_runs() {
    let file = File::new();
    let old = file.table("open", "vm", OLD_COLUMNS);
    let ours = file.table("exec", "vm", OWN_COLUMNS);
    file.connection.execute_batch(RUNS).unwrap();
    // The run began at 11:00 UTC, when it was 20:00 there.
    let run = format!(
        "INSERT INTO duetector_actors_run VALUES ('{:x}-9', 'vm', '2026-01-31 20:00:00.000000', NULL, '', NULL, NULL)",
        utc(-3600)
    );
    file.connection.execute_batch(&run).unwrap();
    file.row(&old, 1, "2026-01-31 21:00:01.000000", "x", None, "{}");
    file.row(&old, 3, "2026-01-31 21:00:03.000000", "x", None, "{}");
    for pid in [2, 4] {
        file.row(&ours, pid, &at(0), "x", None, "{}");
        file.connection
            .execute(&format!("UPDATE {ours} SET time = ? WHERE pid = ?"), [utc(pid), pid])
            .unwrap();
    }
    assert_eq!(pids(&file, &Query::default()), ["1", "2", "3", "4"]);
    let now = "2026-01-31T12:05:02Z[UTC]".parse().unwrap();
    let last = Query { since: Some(when::since("-5m", &now).unwrap()), ..Query::default() };
    assert_eq!(pids(&file, &last), ["2", "3", "4"]);
}

#[test]
fn rows_of_the_hour_that_occurs_twice_are_in_the_order_in_which_they_happened() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    // Berlin, 2026-10-25: 02:59:59 is followed by 02:00:00.
    let (before, after) = (1_792_889_999_000_000_000_i64, 1_792_890_000_000_000_000_i64);
    file.row(&table, 2, "2026-10-25 02:00:00.000000", "x", None, "{}");
    file.row(&table, 1, "2026-10-25 02:59:59.000000", "x", None, "{}");
    for (pid, at) in [(1, before), (2, after)] {
        file.connection.execute(&format!("UPDATE {table} SET time = ? WHERE pid = ?"), [at, pid]).unwrap();
    }
    assert_eq!(pids(&file, &Query::default()), ["1", "2"]);
    let now = "2026-10-25T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
    let since = |text| Query { since: Some(when::since(text, &now).unwrap()), ..Query::default() };
    assert_eq!(pids(&file, &since("2026-10-25T02:00:00+01:00")), ["2"]);
    assert_eq!(pids(&file, &since("2026-10-25 02:00")), ["1", "2"]);
}

#[test]
fn pages_of_rows_of_one_moment_have_each_row_once() {
    let file = File::new();
    let tables = ["open", "exec", "exit"].map(|tracer| file.table(tracer, "vm", OWN_COLUMNS));
    for pid in 0..30 {
        file.row(&tables[pid % 3], pid as i64, &at(1), "x", None, "{}");
    }
    // Rows with and without a `time` are of one moment, too.
    file.connection.execute_batch(&format!("UPDATE {} SET time = NULL WHERE pid < 15", tables[0])).unwrap();
    for desc in [false, true] {
        let whole = Query { columns: names(&["pid"]), desc, limit: 0, ..Query::default() };
        let store = file.store();
        let whole_answer = first(&store, &whole);
        let pages =
            (0..30).step_by(7).flat_map(|start| first(&store, &Query { start, limit: 7, ..whole.clone() }));
        assert_eq!(pages.collect::<Vec<_>>(), whole_answer);
        let mut pids: Vec<i64> = whole_answer.iter().map(|pid| pid.parse().unwrap()).collect();
        pids.sort_unstable();
        assert_eq!(pids, (0..30).collect::<Vec<_>>());
    }
    // Going on from the last row's time finds the next ones.
    let newest = Query { columns: names(&["time"]), desc: true, limit: 1, ..Query::default() };
    let store = file.store();
    let newest = show(&rows(&store, &newest).unwrap()[0].cells[0]);
    let now = when::now();
    let next = Query {
        since: Some(when::since(newest.trim_matches('"'), &now).unwrap()),
        limit: 0,
        ..Query::default()
    };
    assert_eq!(rows(&store, &next).unwrap().len(), 30);
}

#[test]
fn rows_around_a_clock_that_was_set_back_are_in_the_order_in_which_they_happened() {
    let file = File::new();
    let tables = ["open", "exec"].map(|tracer| file.table(tracer, "vm", OWN_COLUMNS));
    let other = file.table("open", "elsewhere", OWN_COLUMNS);
    file.connection
        .execute_batch(
            "CREATE TABLE duetector_actors_clock (collector_id TEXT NOT NULL, since_ns INTEGER NOT NULL,
                 utc_ns_at_boot INTEGER NOT NULL, shown_ns INTEGER NOT NULL)",
        )
        .unwrap();
    // Boot was at 0 s; after 100 s the clock was set back by 60 s, after 300 s by 500 s, after 400 s by 30 s.
    let second = 1_000_000_000;
    let changes = [(100, -60, 100), (300, -560, 240), (400, -590, 240)];
    for (since, offset, shown) in changes {
        let insert = "INSERT INTO duetector_actors_clock VALUES ('vm', ?, ?, ?)";
        file.connection.execute(insert, [since * second, utc(offset), utc(shown)]).unwrap();
    }
    let offset_at = |at: i64| changes.iter().rev().find(|change| change.0 <= at).map_or(0, |change| change.1);
    let happened: Vec<i64> = (1..=900).step_by(7).collect();
    file.connection.execute_batch("BEGIN").unwrap();
    for at in happened.iter().rev() {
        // A later run of the same boot reads the clocks with a small error.
        let error = if *at > 800 { 1234 } else { 0 };
        let table = &tables[(*at as usize / 7) % 2];
        file.row(table, *at, &common::at(0), "x", None, "{}");
        let set = format!("UPDATE {table} SET time = ?, boot_ns = ? WHERE pid = ?");
        file.connection.execute(&set, [utc(at + offset_at(*at)) + error, at * second, *at]).unwrap();
    }
    file.connection.execute_batch("COMMIT").unwrap();
    let mut expected: Vec<String> = happened.iter().map(i64::to_string).collect();
    let of_vm = Query { collector_id: Some("vm".to_owned()), ..Query::default() };
    assert_eq!(pids(&file, &of_vm), expected);
    let pages = (0..expected.len()).step_by(10).flat_map(|start| {
        first(
            &file.store(),
            &Query { columns: names(&["pid"]), start: start as u64, limit: 10, ..of_vm.clone() },
        )
    });
    assert_eq!(pages.collect::<Vec<_>>(), expected);
    // What the clock showed decides what is selected.
    let showed: Vec<String> = happened
        .iter()
        .filter(|at| (60..=90).contains(&(*at + offset_at(**at))))
        .map(i64::to_string)
        .collect();
    let some = Query { since: Some(utc(60)), until: Some(utc(90)), ..of_vm.clone() };
    assert_eq!(pids(&file, &some), showed);
    expected.reverse();
    assert_eq!(pids(&file, &Query { desc: true, ..of_vm }), expected);
    // Rows of another machine are by their own clock.
    file.row(&other, 5000, &at(0), "x", None, "{}");
    file.connection.execute(&format!("UPDATE {other} SET time = ?, boot_ns = 5"), [utc(70)]).unwrap();
    let all = pids(&file, &Query::default());
    let index = all.iter().position(|pid| pid == "5000").unwrap();
    assert_eq!((&*all[index - 1], &*all[index + 1]), ("64", "71"));
}
