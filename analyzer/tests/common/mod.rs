//! Stores to query, made the way their writers make them.

#![allow(dead_code, unreachable_pub, reason = "each test target uses its part")]

pub mod audit;

use std::path::PathBuf;

use analyzer::{Cell, Error, Query, Row, Store};
use model::schema::{COLUMNS, ColumnSlot, parse_table_name};
use model::{BootNs, Clocks, Details, ExecId, Extended, Routed, Tracking, WallTime, ZonedTime};
use rusqlite::{Connection, Row as SqlRow, params};
use store::Writer;
use store::bookkeeping::{Now, Run};
use store::import::{self, Import};
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
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
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

    /// Returns stores with these rows: this file, a columnar store, the two kinds side by side with a part of the rows each, and
    /// with rows that both have, and this file beside a store that it was imported into.
    pub fn stores(&self) -> Stores {
        let (columnar, imported) = (Columnar::of(self), self.imported());
        let [apart, shared] = [false, true].map(|is_shared| Mixed::of(self, is_shared));
        let both = Store::open_all(&[imported.path.clone(), self.path.clone()]).unwrap();
        let stores = vec![self.store(), columnar.store(), apart.store(), shared.store(), both];
        Stores { stores, _folders: vec![columnar.dir, apart.columnar.dir, shared.columnar.dir, imported.dir] }
    }

    /// Returns a columnar store with the rows that have a time; the others stay in the file alone.
    fn imported(&self) -> Columnar {
        let columnar = Columnar::new();
        let connection = Connection::open(&columnar.path).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        import::prepare(&connection).unwrap();
        let (file, zone) = (import::open(&self.path).unwrap(), jiff::tz::TimeZone::system());
        if let Some(found) = Import::of(file, &connection, zone).unwrap() {
            found.run(&connection, |_| {}).unwrap();
        }
        columnar
    }

    /// Returns the names of the tables with rows.
    fn tables(&self) -> Vec<String> {
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'duetector_tracking:%' ORDER BY name";
        let mut tables = self.connection.prepare(sql).unwrap();
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// Stores with the same rows.
pub struct Stores {
    pub stores: Vec<Store>,
    _folders: Vec<TempDir>,
}

impl Stores {
    /// Returns the first column of every row, which is the same in all of them.
    pub fn first(&self, query: &Query) -> Vec<String> {
        let mut answers = self.stores.iter().map(|store| (store, first(store, query)));
        let (_, expected) = answers.next().unwrap();
        for (number, (store, found)) in answers.enumerate() {
            assert_eq!(found, expected, "store {number}, {:?}: {query:?}", store.path());
        }
        expected
    }
}

/// A columnar store with the later half of the rows of each table, and a file of duetector's layout with the others.
pub struct Mixed {
    pub columnar: Columnar,
    pub beside: PathBuf,
}

impl Mixed {
    /// The file has all rows if `is_shared`, and says which of them are copies.
    pub fn of(file: &File, is_shared: bool) -> Self {
        let columnar = Columnar::new();
        let beside = columnar.dir.path().join("other's %?#.sqlite3");
        file.connection.execute("VACUUM INTO ?", [beside.to_str().unwrap()]).unwrap();
        let old = Connection::open(&beside).unwrap();
        old.execute_batch(
            "PRAGMA synchronous = OFF;
             CREATE TABLE duetector_actors_copied (name TEXT, first INTEGER, last INTEGER, run_id TEXT, PRIMARY KEY (name, first))",
        )
        .unwrap();
        for table in file.tables() {
            let last: i64 = old
                .query_row(&format!("SELECT ifnull(max(id), 0) FROM \"{table}\""), [], |row| row.get(0))
                .unwrap();
            let half = last / 2;
            columnar.copy(file, &table, half);
            if is_shared {
                let (_, collector_id) = parse_table_name(&table).unwrap();
                let copied = "INSERT INTO duetector_actors_copied VALUES (?, ?, ?, ?)";
                old.execute(copied, params![table, half + 1, last, collector_id]).unwrap();
                // Rows of a run of another store.
                old.execute(copied, params![table, -5, half, "another"]).unwrap();
            } else {
                old.execute(&format!("DELETE FROM \"{table}\" WHERE id > ?"), [half]).unwrap();
            }
        }
        if !columnar.path.exists() {
            columnar.write("vm", &[]);
        }
        Self { columnar, beside }
    }

    pub fn store(&self) -> Store {
        // In any order.
        Store::open_all(&[self.beside.clone(), self.columnar.path.clone()]).unwrap()
    }
}

/// Number of rows that are written at once to a columnar store, so that there are several batches.
const AT_ONCE: usize = 7;

/// A columnar store in a folder of its own.
pub struct Columnar {
    pub dir: TempDir,
    pub path: PathBuf,
}

impl Columnar {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("store.sqlite3"), dir }
    }

    /// Returns a store with the rows of a file of duetector's layout, which have all of our columns.
    pub fn of(file: &File) -> Self {
        let columnar = Self::new();
        columnar.write("vm", &[]);
        file.tables().iter().for_each(|table| columnar.copy(file, table, 0));
        columnar
    }

    /// Writes the rows of a table with greater ids than `after`.
    fn copy(&self, file: &File, table: &str, after: i64) {
        let (tracer, collector_id) = parse_table_name(table).unwrap();
        let sql = format!("SELECT * FROM \"{table}\" WHERE id > ? ORDER BY id");
        let mut rows = file.connection.prepare(&sql).unwrap();
        let rows = rows.query_map([after], |row| Ok(tracking(tracer, row))).unwrap();
        self.write(collector_id, &rows.map(Result::unwrap).collect::<Vec<_>>());
    }

    /// Writes rows, some at once.
    pub fn write(&self, collector_id: &str, rows: &[Tracking]) {
        if rows.is_empty() && self.path.exists() {
            return;
        }
        let connection = Connection::open(&self.path).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        let run =
            Run { run_id: collector_id.into(), collector_id: collector_id.into(), started: WallTime(0) };
        let (mut writer, _) = Writer::begin(connection, &run, None).unwrap();
        for rows in rows.chunks(AT_ONCE) {
            let batch = Routed { claim: None, rows: rows.into(), bytes: 0 };
            let now = Now { wall: WallTime(1), boot: BootNs(1), clocks: &Clocks::default() };
            writer.write(&[batch], &[], &now).unwrap();
        }
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path).unwrap()
    }
}

/// A row of a table, as it was before it was written there.
fn tracking(tracer: &str, row: &SqlRow<'_>) -> Tracking {
    let extended: String = row.get("extended").unwrap();
    let details = Details::Fields(serde_json::from_str(&extended).unwrap());
    let mut tracking = Tracking::new(tracer.into(), WallTime(0), Extended::new(details));
    for column in COLUMNS {
        // Tables of other writers lack some columns.
        let is_there = row.as_ref().column_index(column.name()).is_ok();
        let text = || is_there.then(|| row.get::<_, Option<String>>(column.name()).unwrap()).flatten();
        let number = || is_there.then(|| row.get::<_, Option<i64>>(column.name()).unwrap()).flatten();
        match tracking.slot(*column) {
            ColumnSlot::Int(slot) => *slot = number(),
            ColumnSlot::Text(slot) => *slot = text().map(Into::into),
            ColumnSlot::Shared(slot) => *slot = text().map(Into::into),
            ColumnSlot::Time(slot) => *slot = text().and_then(|text| WallTime::parse(&text)),
            ColumnSlot::Zoned(slot) => *slot = number().map(|utc_ns| ZonedTime { utc_ns, offset: 0 }),
            ColumnSlot::ExecId(slot) => {
                *slot = text().map(|text| {
                    let (pid, start_ns) = text.split_once('-').unwrap();
                    ExecId { pid: pid.parse().unwrap(), start_ns: start_ns.parse().unwrap() }
                });
            }
            ColumnSlot::Fixed => {}
        }
    }
    if row.as_ref().column_index("time").is_err() {
        tracking.time = tracking.dt.map(|dt| time(&dt.to_text()));
    }
    tracking
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
