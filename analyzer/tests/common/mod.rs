//! Stores to query, made the way their writers make them.

#![allow(dead_code, unreachable_pub, reason = "each test target uses its part")]

use std::path::PathBuf;

use analyzer::{Cell, Error, Query, Row, Store};
use model::{WallTime, ZonedTime};
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// The columns of Python duetector's tables, in its spelling.
pub const DUETECTOR_COLUMNS: &str = "id INTEGER NOT NULL, pid INTEGER, uid INTEGER, gid INTEGER, dt DATETIME, \
     comm VARCHAR, cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, PRIMARY KEY (id)";

/// The columns of the agent's own tables: duetector's and more.
pub const OWN_COLUMNS: &str = "id INTEGER NOT NULL, pid INTEGER, uid INTEGER, gid INTEGER, dt DATETIME, \
     comm VARCHAR, cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, tid INTEGER, ppid INTEGER, exec_id VARCHAR, \
     exe VARCHAR, container_id VARCHAR, ret INTEGER, count INTEGER, time INTEGER, boot_ns INTEGER, PRIMARY KEY (id)";

/// The columns of versions before, without `time`.
pub const OLD_COLUMNS: &str = "id INTEGER NOT NULL, pid INTEGER, uid INTEGER, gid INTEGER, dt DATETIME, \
     comm VARCHAR, cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, tid INTEGER, ppid INTEGER, exec_id VARCHAR, \
     exe VARCHAR, container_id VARCHAR, ret INTEGER, count INTEGER, PRIMARY KEY (id)";

pub struct File {
    pub dir: TempDir,
    pub path: PathBuf,
    pub connection: Connection,
}

impl File {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store %?#.sqlite3");
        let connection = Connection::open(&path).unwrap();
        Self { dir, path, connection }
    }

    pub fn table(&self, tracer: &str, collector_id: &str, columns: &str) -> String {
        let name = format!("\"duetector_tracking:{tracer}@{collector_id}\"");
        self.connection.execute_batch(&format!("CREATE TABLE {name} ({columns})")).unwrap();
        name
    }

    /// Adds a row with the columns that both writers have; user and group are 0.
    pub fn row(&self, table: &str, pid: i64, dt: &str, comm: &str, fname: Option<&str>, extended: &str) {
        let sql = format!(
            "INSERT INTO {table} (pid, uid, gid, dt, comm, fname, extended) VALUES (?, 0, 0, ?, ?, ?, ?)"
        );
        self.connection.execute(&sql, params![pid, dt, comm, fname, extended]).unwrap();
        let sql = format!("UPDATE {table} SET time = ? WHERE id = last_insert_rowid()");
        // Tables of other writers lack the column.
        if let Ok(mut update) = self.connection.prepare(&sql) {
            update.execute([time(dt).utc_ns]).unwrap();
        }
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path).unwrap()
    }
}

/// Times of one minute, by second.
pub fn at(second: u32) -> String {
    format!("2026-01-31 12:00:{second:02}.000000")
}

pub fn rows(store: &Store, query: &Query) -> Result<Vec<Row>, Error> {
    store.query(query)?.rows()?.collect()
}

/// A local time of this machine.
pub fn time(dt: &str) -> ZonedTime {
    ZonedTime::of_local(WallTime::parse(dt).unwrap(), &jiff::tz::TimeZone::system())
}

/// The times of one minute as queries have them, by second.
pub fn ns(second: u32) -> i64 {
    time(&at(second)).utc_ns
}

/// The first column of every row, as text.
pub fn first(store: &Store, query: &Query) -> Vec<String> {
    let rows = rows(store, query).unwrap();
    rows.iter().map(|row| show(&row.cells[0])).collect()
}

pub fn show(cell: &Cell) -> String {
    serde_json::to_string(cell).unwrap()
}

pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
