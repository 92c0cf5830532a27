//! The kinds of sinks, and how rows are read back from each.

use std::path::{Path, PathBuf};

use collector::Synchronous;
use collector::sink::Sink;
use collector::sink::jsonl::Jsonl;
use collector::sink::memory::Memory;
use collector::sink::sqlite::{Run, Sqlite};
use collector::sink::store::Store;
use model::{Role, TracerName, Tracking, WallTime};
use serde_json::Value;

/// A kind of sink, and how to read back its rows as (tracer, number) in order.
pub(crate) trait Kind {
    const ROLE: Role;
    type Sink: Sink;
    fn new(folder: &Path) -> Self;
    fn make(&self) -> Self::Sink;
    fn read(&self, tracer: &str) -> Vec<i64>;
}

pub(crate) struct SqliteKind(PathBuf);

impl Kind for SqliteKind {
    const ROLE: Role = Role::Store;
    type Sink = Sqlite;
    fn new(folder: &Path) -> Self {
        Self(folder.join("db"))
    }
    fn make(&self) -> Sqlite {
        let run = Run { run_id: "r".into(), collector_id: "vm".into(), started: WallTime(0) };
        Sqlite::new(self.0.clone(), Synchronous::Normal, run)
    }
    fn read(&self, tracer: &str) -> Vec<i64> {
        let connection = rusqlite::Connection::open(&self.0).unwrap();
        let what = if tracer == "loss" { "count" } else { "extended ->> 'number'" };
        let Ok(mut statement) =
            connection.prepare(&format!("SELECT {what} FROM \"duetector_tracking:{tracer}@vm\" ORDER BY id"))
        else {
            return Vec::new();
        };
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

pub(crate) struct StoreKind(PathBuf);

impl Kind for StoreKind {
    const ROLE: Role = Role::Store;
    type Sink = Store;
    fn new(folder: &Path) -> Self {
        Self(folder.join("store"))
    }
    fn make(&self) -> Store {
        let run = Run { run_id: "r".into(), collector_id: "vm".into(), started: WallTime(0) };
        Store::new(self.0.clone(), Synchronous::Normal, run)
    }
    fn read(&self, tracer: &str) -> Vec<i64> {
        let (connection, reader) = (rusqlite::Connection::open(&self.0).unwrap(), ::store::Reader::default());
        let Ok(streams) = reader.streams(&connection) else { return Vec::new() };
        let mut numbers = Vec::new();
        for stream in streams.iter().filter(|stream| stream.tracer == tracer) {
            for batch in reader.batches(&connection, stream.id, i64::MIN, i64::MAX).unwrap() {
                let rows = reader.rows(&connection, &batch, |_| true).unwrap();
                numbers.extend((0..rows.len()).map(|row| {
                    let row = rows.tracking(&tracer.into(), row);
                    let number = || row.extended.get("number").unwrap().to_plain().parse().unwrap();
                    row.count.unwrap_or_else(number)
                }));
            }
        }
        numbers
    }
}

pub(crate) struct JsonlKind(PathBuf);

impl Kind for JsonlKind {
    const ROLE: Role = Role::Copy;
    type Sink = Jsonl;
    fn new(folder: &Path) -> Self {
        Self(folder.join("lines"))
    }
    fn make(&self) -> Jsonl {
        Jsonl::file(self.0.clone(), 0, 0)
    }
    fn read(&self, tracer: &str) -> Vec<i64> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let rows = rows.filter(|row| row["tracer"] == tracer);
        rows.map(|row| {
            if tracer == "loss" { &row["count"] } else { &row["extended"]["number"] }.as_i64().unwrap()
        })
        .collect()
    }
}

pub(crate) struct MemoryKind(Memory);

impl Kind for MemoryKind {
    const ROLE: Role = Role::Copy;
    type Sink = Memory;
    fn new(_: &Path) -> Self {
        Self(Memory::new(10_000))
    }
    fn make(&self) -> Memory {
        self.0.clone()
    }
    fn read(&self, tracer: &str) -> Vec<i64> {
        let number = |row: &Tracking| row.extended.get("number").unwrap().to_plain().parse().unwrap();
        let rows = self.0.rows(&TracerName::new(tracer));
        rows.iter().map(|row| if tracer == "loss" { row.count.unwrap() } else { number(row) }).collect()
    }
}
