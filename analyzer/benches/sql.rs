//! Measures the time of SQL on the columnar store against a table of SQLite with the same typed columns and rows, in turn:
//! `cargo bench -p analyzer --bench sql -- ROWS`, by default 2 million.

use std::time::Instant;

use analyzer::sql::Limits;
use analyzer::{Cell, Sql, Store};
use model::{BootNs, Clocks, Details, Extended, Routed, Tracking, WallTime, ZonedTime};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Map, json};
use store::Writer;
use store::bookkeeping::{Now, Run};

/// Rows, unless the command line has another number.
const ROWS: u64 = 2_000_000;
/// Rounds of which the median is printed.
const ROUNDS: usize = 5;
/// Rows that are written in one transaction, as in a storm.
const AT_ONCE: u64 = 8192;
/// Statements that are timed, with what they are.
const STATEMENTS: [(&str, &str); 4] = [
    ("sum by user", "SELECT uid, sum(bytes_read) FROM usage GROUP BY uid"),
    (
        "sum by command and user",
        "SELECT comm, uid, sum(bytes_read), sum(bytes_written), count(*) FROM usage GROUP BY comm, uid",
    ),
    ("one sum", "SELECT sum(bytes_read), max(time) FROM usage"),
    ("rows of one process", "SELECT fname, bytes_read FROM usage WHERE exec_id = '1017-17000000'"),
];

/// Writes rows to a columnar store and to a table, and times statements on both in turn.
#[expect(clippy::print_stdout, reason = "its result is its output")]
fn main() {
    // cargo adds an argument of its own.
    let rows = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROWS);
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("store.sqlite3");
    write(&path, rows);
    let store = Store::open(&path).expect("a store");
    let sql = Sql::new(store, Limits::default()).expect("tables");
    let native = copy(&sql, &scratch.path().join("native.sqlite3"));
    println!("| {rows} rows | columnar, s | table of SQLite, s | ratio |\n|---|---|---|---|");
    for (what, statement) in STATEMENTS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = now();
            let mut answer = sql.query(statement).expect("a statement");
            let found =
                answer.rows().expect("rows").map(|row| row.expect("a row").cells.len()).sum::<usize>();
            ours.push(start.elapsed().as_secs_f64());
            let start = now();
            assert_eq!(found, count(&native, statement), "{what}");
            theirs.push(start.elapsed().as_secs_f64());
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("| {what} | {ours:.3} | {theirs:.3} | {:.2} |", ours / theirs);
    }
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, not part of the agent")]
fn now() -> Instant {
    Instant::now()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the number of cells of a statement's rows.
fn count(native: &Connection, statement: &str) -> usize {
    let mut statement = native.prepare(statement).expect("a statement");
    let columns = statement.column_count();
    let mut rows = statement.query(()).expect("rows");
    let mut cells = 0;
    while let Some(row) = rows.next().expect("a row") {
        let texts = (0..columns).filter(|index| row.get_ref(*index).is_ok());
        cells += texts.count();
    }
    cells
}

fn write(path: &std::path::Path, rows: u64) {
    let connection = Connection::open(path).expect("a file");
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF").expect("a setting");
    let run = Run { run_id: "bench".into(), collector_id: "bench".into(), started: WallTime(0) };
    let (mut writer, _) = Writer::begin(connection, &run, None).expect("a store");
    for start in (0..rows).step_by(AT_ONCE as usize) {
        let some: Vec<Tracking> = (start..rows.min(start + AT_ONCE)).map(row).collect();
        let batch = Routed { claim: None, rows: some.into(), bytes: 0 };
        let now = Now { wall: WallTime(1), boot: BootNs(1), clocks: &Clocks::default() };
        writer.write(&[batch], &[], &now).expect("rows are written");
    }
}

fn row(number: u64) -> Tracking {
    let process = number % 3001;
    let fields = json!({
        "dev": 2049, "ino": number % 50_021, "generation": number % 7, "bytes_read": number % 65_537,
        "bytes_written": number % 11, "calls_read": number % 13, "cgroup": "/system.slice/bench.service",
    });
    let fields = Extended::new(Details::Fields(fields.as_object().cloned().unwrap_or_else(Map::new)));
    let time = ZonedTime { utc_ns: 1_700_000_000_000_000_000 + number as i64 * 50_000, offset: 0 };
    let mut row = Tracking::new("usage".into(), time.wall(), fields);
    (row.time, row.boot_ns) = (Some(time), Some(number as i64 * 50_000));
    (row.pid, row.uid, row.gid) =
        (Some(1000 + process as i64), Some(1000 + (number % 17) as i64), Some(1000));
    row.comm = Some(format!("worker{}", number % 23).into());
    row.fname = Some(format!("/srv/data/{}/{}", number % 101, number % 50_021).into());
    row.exec_id = Some(model::ExecId { pid: 1000 + process as u32, start_ns: process * 1_000_000 });
    row
}

/// Copies the rows into a table of SQLite; returns a connection with the settings that ours has.
fn copy(sql: &Sql, path: &std::path::Path) -> Connection {
    let native = Connection::open(path).expect("a file");
    native.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -16384; BEGIN").expect("a setting");
    let mut answer = sql.query("SELECT * FROM usage").expect("a statement");
    let names: Vec<String> =
        answer.columns().iter().map(|column| format!("\"{}\" {}", column.name, kind(column.kind))).collect();
    native.execute_batch(&format!("CREATE TABLE usage ({})", names.join(", "))).expect("a table");
    let marks = vec!["?"; names.len()].join(", ");
    let mut insert = native.prepare(&format!("INSERT INTO usage VALUES ({marks})")).expect("a statement");
    for row in answer.rows().expect("rows") {
        let cells = row.expect("a row").cells.into_iter().map(|cell| match cell {
            Cell::Integer(number) => Value::Integer(number),
            Cell::Real(number) => Value::Real(number),
            Cell::Text(text) => Value::Text(text),
            _ => Value::Null,
        });
        insert.execute(params_from_iter(cells)).expect("a row is written");
    }
    drop(insert);
    native.execute_batch("COMMIT").expect("rows are written");
    native
}

fn kind(kind: model::schema::ColumnKind) -> &'static str {
    if kind == model::schema::ColumnKind::Integer { "INTEGER" } else { "TEXT" }
}
