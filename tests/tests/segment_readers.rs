//! Other programs read the sealed rows: DuckDB and pandas give what `query` gives, names with any bytes included.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::workload::{python, succeed};
use tests::{Scratch, Setup, Store, binary, duetector, suite};

const UID: u32 = 9936;
/// Columns that are compared; of numbers the sums, too.
const OF_OPEN: [&str; 6] = ["fname", "comm", "exec_id", "uid", "pid", "ino"];
const OF_USAGE: [&str; 5] = ["fname", "comm", "exec_id", "bytes_read", "bytes_written"];

/// Writes files with strange names and reads them. All bytes of a name but `/` and NUL are there.
const SCRIPT: &str = r#"
strange = [bytes(set(range(1, 256)) - {47})[start::3] for start in range(3)]
for name in [b"plain", b"new\nline", b"\xff\xfe", "ü😀".encode(), b"a 'b' \"c\" \\d"] + strange:
    for times in range(7):
        with open(name, "wb") as file:
            file.write(b"x" * (times + 1))
        with open(name, "rb") as file:
            file.read()
"#;

suite! {
    threads: 1;
    duckdb_and_pandas_read_what_query_reads: [Kernel, Python, Duetector]
}

fn duckdb_and_pandas_read_what_query_reads() {
    let (scratch, uid) = (Scratch::new(), format!("[{UID}]"));
    let work = scratch.path().join("work");
    // Two segments.
    let mut agents = (0..2).map(|_| {
        let setup = Setup::new().set("ebpf.uids", &uid).set("tracer.uname.disabled", "true");
        // Local times of the rows are not UTC.
        let agent = setup.variable("TZ", "Asia/Tokyo").workdir(&work).start();
        python(UID, &agent.scratch().folder("names"), SCRIPT, &[]);
        let agent = agent.finish_run();
        let sealed = agent.store().run(&["store", "seal"]);
        assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
        agent
    });
    let (_, agent) = agents.next().zip(agents.next()).unwrap();
    assert_eq!(agent.store().json(&["store", "status", "--format", "json"])["unsealed_rows"], 0);
    let exported = scratch.path().join("exported");
    std::fs::create_dir(&exported).unwrap();
    let target = exported.join("all");
    let export = agent.store().run(&["export", "--format", "parquet", target.to_str().unwrap()]);
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let left = target.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let others: Vec<String> = left.filter(|name| !name.ends_with(".parquet")).collect();
    assert_eq!(others, Vec::<String>::new());
    answers_are_files_too(agent.store(), &scratch.path().join("answer.parquet"));
    for folder in [agent.store().workdir().join("segments"), exported] {
        compare(agent.store(), &folder, "open", &OF_OPEN, 200);
        compare(agent.store(), &folder, "usage", &OF_USAGE, 16);
    }
}

/// Compares the answer to a statement with the Parquet file that it makes.
fn answers_are_files_too(store: &Store, file: &Path) {
    let text = "SELECT time, fname, fname_bytes, pid, pid / 2.0 AS half FROM open";
    let made = store.run(&["sql", text, "--format", "parquet", "--output", file.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let script = "import duckdb, json, sys
rows = duckdb.sql(f\"SELECT typeof(time), typeof(fname), typeof(fname_bytes), typeof(half), count(*), sum(pid)::BIGINT, sum(half), \\
    count(fname_bytes), sum(time % 1000000)::BIGINT FROM read_parquet('{sys.argv[1]}') GROUP BY ALL\").fetchall()
json.dump(rows, sys.stdout)";
    let mut command = Command::new(duetector::program("python"));
    let read = succeed(command.args(["-c", script]).arg(file));
    let read: Vec<Vec<Value>> = serde_json::from_slice(&read.stdout).unwrap();
    let sums =
        "SELECT count(*) AS rows, sum(pid) AS pids, sum(pid / 2.0) AS halves, count(fname_bytes) AS bytes,
                sum(time % 1000000) AS times FROM open";
    let sums = store.json(&["sql", sums, "--format", "json"])[0].clone();
    let kinds = ["BIGINT", "VARCHAR", "BLOB", "DOUBLE"].map(Value::from);
    let values = ["rows", "pids", "halves", "bytes", "times"].map(|name| sums[name].clone());
    assert_eq!(read, [kinds.into_iter().chain(values).collect::<Vec<_>>()]);
}

/// Compares the rows of a tracer in the folders of this folder, of which there are at least `least`.
fn compare(store: &Store, folder: &Path, tracer: &str, columns: &[&str], least: usize) {
    let expected = asked(store, tracer, columns);
    assert!(expected.len() >= least, "{} rows of {tracer}", expected.len());
    let is_strange = |row: &&Vec<Value>| row[columns.len()].is_string();
    assert!(
        expected.iter().filter(is_strange).count() > 4,
        "no name of {tracer} has bytes that are not UTF-8"
    );
    let script = binary::workspace().join("tests/python/segments.py");
    let mut command = Command::new(duetector::program("python"));
    command.arg(script).arg(folder).arg(tracer).args(columns);
    let answers: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();
    for reader in ["duckdb", "pandas"] {
        let answer = &answers[reader];
        let rows: Vec<Vec<Value>> = serde_json::from_value(answer["rows"].clone()).unwrap();
        assert_eq!(sorted(rows), expected, "{reader}, {tracer}");
        assert_eq!(answer["count"], expected.len(), "{reader}, {tracer}");
        for (index, name) in columns.iter().enumerate().filter(|(index, _)| expected[0][*index].is_u64()) {
            let sum: u64 = expected.iter().filter_map(|row| row[index].as_u64()).sum();
            assert_eq!(answer["sums"][name], sum, "{reader}, {tracer}.{name}");
        }
    }
}

/// Returns what `query` gives: the columns, the exact bytes of `fname` in hex if they are not UTF-8, and the time in microseconds.
fn asked(store: &Store, tracer: &str, columns: &[&str]) -> Vec<Vec<Value>> {
    let mut command = Command::new(binary::agent());
    command.args(["query", "--tracer", tracer, "--limit", "0", "--format", "json", "--workdir"]);
    let output = succeed(command.arg(store.workdir()).env("TZ", "UTC"));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let value = |row: &Value, name: &str| row.get(name).unwrap_or(&row["extended"][name]).clone();
    let of_row = |row: &Value| {
        let time = row["time"].as_str().unwrap();
        assert!(time.ends_with("+00:00"), "{time}");
        let rest = [value(row, "fname_bytes"), time[..26].replace('T', " ").into()];
        columns.iter().map(|name| value(row, name)).chain(rest).collect()
    };
    sorted(rows.iter().map(of_row).collect())
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort_by_cached_key(|row| Value::from(row.clone()).to_string());
    rows
}
