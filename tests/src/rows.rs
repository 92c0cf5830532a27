//! Files of duetector's layout with rows that a test makes up, as Python duetector writes them.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::Scratch;

/// A row: its fields by name, `extended` as an object.
pub type Row = Value;

/// Adds a table with these rows to a file, which is made if it is missing.
///
/// # Panics
/// When SQLite refuses.
pub fn write_table(file: &Path, tracer: &str, collector: &str, rows: impl Iterator<Item = Row>) {
    let connection = Connection::open(file).expect("no file of duetector's layout");
    let table = format!("\"duetector_tracking:{tracer}@{collector}\"");
    let ddl = format!(
        "CREATE TABLE {table} (id INTEGER NOT NULL, pid INTEGER, uid INTEGER, gid INTEGER, dt DATETIME, comm VARCHAR, \
         cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, PRIMARY KEY (id))"
    );
    connection.execute_batch(&ddl).expect("no table");
    connection.execute_batch("BEGIN").expect("no transaction");
    let insert = format!(
        "INSERT INTO {table} (pid, uid, gid, dt, comm, cwd, fname, extended) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    );
    let mut insert = connection.prepare(&insert).expect("no statement");
    for row in rows {
        let number = |name: &str| row[name].as_i64();
        let text = |name: &str| row[name].as_str();
        let values = (
            (number("pid"), number("uid"), number("gid")),
            (text("dt"), text("comm"), text("cwd"), text("fname"), row["extended"].to_string()),
        );
        let ((pid, uid, gid), (dt, comm, cwd, fname, extended)) = values;
        insert.execute((pid, uid, gid, dt, comm, cwd, fname, extended)).expect("a row is refused");
    }
    drop(insert);
    connection.execute_batch("COMMIT").expect("rows are refused");
}

/// Makes a work folder with rows, which belongs to a user.
///
/// # Panics
/// When it can't be made.
pub fn workdir(scratch: &Scratch, uid: u32, rows: u32) -> PathBuf {
    let folder = scratch.path().join("work");
    fs::create_dir(&folder).expect("no work folder");
    let file = folder.join("duetector-dbcollector.sqlite3");
    let row = |number: u32| {
        json!({
            "pid": number, "uid": 1000, "gid": 1000, "dt": format!("2026-01-31 12:{:02}:{:02}.000000", number / 60 % 60, number % 60),
            "comm": "sh", "fname": format!("/data/{number}"), "extended": {"tracer_name": "open", "flags": ["O_RDONLY"]},
        })
    };
    write_table(&file, "open", "here", (0..rows).map(row));
    for path in [&folder, &file] {
        chown(path, Some(uid), Some(uid)).expect("no work folder");
    }
    folder
}
