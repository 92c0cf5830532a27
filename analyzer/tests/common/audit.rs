//! Rows of a small story, for questions in SQL: alice reads a file in a container, writes a copy, renames it, sends it and
//! deletes it; bob's rows are lost.

use model::schema::{COLUMNS, Column};
use rusqlite::types::Value as SqlValue;
use rusqlite::{params_from_iter, types::Null};
use serde_json::{Value, json};

use super::{Columnar, File, OWN_COLUMNS, at, ns};

/// The process that most rows are about.
pub const CAT: &str = "100-5000000000";
/// The parent of that process.
pub const SHELL: &str = "90-1000000000";

/// Returns a file of duetector's layout with the rows, and a columnar store with the same.
pub fn both() -> (File, Columnar) {
    let file = File::new();
    let mut tables = Vec::new();
    for (number, (tracer, row)) in rows().into_iter().enumerate() {
        if !tables.contains(&tracer) {
            file.table(tracer, "vm", OWN_COLUMNS);
            tables.push(tracer);
        }
        insert(&file, tracer, number as u32, &row);
    }
    let columnar = Columnar::of(&file);
    (file, columnar)
}

/// Adds a row: names of columns are columns, all others fields.
pub fn insert(file: &File, tracer: &str, second: u32, row: &Value) {
    let row = row.as_object().unwrap();
    let is_column = |name: &str| COLUMNS.iter().any(|column| column.name() == name);
    let fields: Value = row.clone().into_iter().filter(|(name, _)| !is_column(name)).collect();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in COLUMNS {
        let value = match (column, row.get(column.name())) {
            (Column::Dt, _) => SqlValue::Text(at(second)),
            (Column::Time, _) => SqlValue::Integer(ns(second)),
            (Column::BootNs, _) => SqlValue::Integer((10 + i64::from(second)) * 1_000_000_000),
            (Column::Extended, _) => SqlValue::Text(fields.to_string()),
            (_, Some(Value::Number(number))) => SqlValue::Integer(number.as_i64().unwrap()),
            (_, Some(Value::String(text))) => SqlValue::Text(text.clone()),
            _ => Null.into(),
        };
        names.push(column.name());
        values.push(value);
    }
    let marks = vec!["?"; names.len()].join(", ");
    let sql =
        format!("INSERT INTO \"duetector_tracking:{tracer}@vm\" ({}) VALUES ({marks})", names.join(", "));
    file.connection.execute(&sql, params_from_iter(values)).unwrap();
}

/// Returns a row of a process: what all of them have, and these fields.
fn of(exec_id: &str, fields: Value) -> Value {
    let pid: i64 = exec_id.split('-').next().unwrap().parse().unwrap();
    let comm = if exec_id == CAT { "cat" } else { "sh" };
    let mut row = json!({
        "pid": pid, "ppid": if exec_id == CAT { 90 } else { 1 }, "uid": 1000, "gid": 1000, "comm": comm,
        "exe": format!("/usr/bin/{comm}"), "exec_id": exec_id, "container_id": "c0ffee", "container_name": "web",
    });
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    row
}

/// Returns the fields of a file, and these.
fn about(file: &Value, more: Value) -> Value {
    let mut all = file.clone();
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn rows() -> Vec<(&'static str, Value)> {
    let secret = json!({"dev": 8, "ino": 77, "generation": 3, "file_type": "regular"});
    let copy = json!({"dev": 8, "ino": 78, "generation": 4, "file_type": "regular"});
    let clone =
        json!({"ret": 100, "child_pid": 100, "child_tid": 100, "child_exec_id": CAT, "thread": false});
    let socket = json!({
        "ret": 0, "fname": "tcp:10.0.0.9:443", "family": "AF_INET", "daddr": "10.0.0.9", "dport": 443, "sock_ino": 5,
    });
    let renamed = json!({"ret": 0, "fname": "/tmp/copy", "new_path": "/tmp/holiday.jpg", "call": "rename"});
    let lost = json!({
        "uid": 1001, "count": 12, "lost_tracer": "open", "cause": "the ring was full", "place": "ring",
        "from": at(1), "to": at(2),
    });
    vec![
        ("clone", of(SHELL, clone)),
        ("exec", of(CAT, json!({"ret": 0, "fname": "/usr/bin/cat", "argv": ["cat", "/data/sécret"]}))),
        (
            "open",
            of(
                CAT,
                about(
                    &secret,
                    json!({"ret": 3, "fname": "/data/secret", "flags": ["O_RDONLY", "O_CLOEXEC"]}),
                ),
            ),
        ),
        (
            "open",
            of(
                CAT,
                json!({"ret": -13, "errno": "EACCES", "fname": "/data/n\\xff", "fname_bytes": "2f646174612f6eff"}),
            ),
        ),
        (
            "usage",
            of(CAT, about(&secret, json!({"fname": "/data/secret", "bytes_read": 4096, "calls_read": 2}))),
        ),
        (
            "usage",
            of(
                CAT,
                about(&copy, json!({"fname": "/tmp/copy", "bytes_written": 4096, "mapped_to": u64::MAX})),
            ),
        ),
        ("rename", of(CAT, about(&copy, renamed))),
        ("connect", of(CAT, socket.clone())),
        ("close", of(CAT, about(&socket, json!({"bytes_sent": 4096, "bytes_received": 10})))),
        ("unlink", of(CAT, about(&copy, json!({"ret": 0, "fname": "/tmp/holiday.jpg", "call": "unlink"})))),
        ("unlink", of(SHELL, json!({"ret": -2, "errno": "ENOENT", "fname": "/tmp/x", "call": "unlink"}))),
        (
            "open",
            of(SHELL, about(&secret, json!({"ret": 3, "fname": "/data/secret", "flags": ["O_WRONLY"]}))),
        ),
        ("setuid", of(SHELL, json!({"ret": 0, "call": "setuid", "asked_uid": 0, "uid": 0, "ruid": 0}))),
        ("exit", of(CAT, json!({"code": 1, "signal": 0, "duration_ns": 9}))),
        ("loss", lost),
        ("mine", json!({"size": 5, "odd name": [1, {"a": null}], "share": 0.5})),
    ]
}
