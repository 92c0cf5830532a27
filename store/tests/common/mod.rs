//! A store in a scratch folder, and rows for it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};

use model::{BootNs, Clocks, Details, Extended, Routed, Tracking, WallTime, ZonedTime};
use rusqlite::Connection;
use serde_json::{Map, Value};
use store::bookkeeping::{Now, Run};
use store::segment::{Moment, Sealer};
use store::{Reader, Writer};

/// A store in a scratch folder.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.sqlite3")
    }

    pub(crate) fn open(&self) -> Connection {
        open(&self.path())
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::begin(self.open(), &run(), None).unwrap().0
    }

    /// Returns all rows of a tracer, as they were written.
    pub(crate) fn rows(&self, tracer: &str) -> Vec<Tracking> {
        let (reader, connection) = (Reader::default(), self.open());
        let streams = reader.streams(&connection).unwrap();
        let mut rows = Vec::new();
        for stream in streams.iter().filter(|stream| stream.tracer == tracer) {
            let mut of_stream = Vec::new();
            for batch in reader.batches(&connection, stream.id, i64::MIN, i64::MAX).unwrap() {
                let batch = reader.rows(&connection, &batch, |_| true).unwrap();
                of_stream
                    .extend((0..batch.len()).map(|row| (batch.id(row), batch.tracking(&tracer.into(), row))));
            }
            // Those of a sealed file are in order of time.
            of_stream.sort_by_key(|(id, _)| *id);
            rows.extend(of_stream.into_iter().map(|(_, row)| row));
        }
        rows
    }
}

pub(crate) fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection
}

pub(crate) fn run() -> Run {
    Run { run_id: "r1".into(), collector_id: "vm".into(), started: WallTime(0) }
}

/// Writes the rows in one transaction.
pub(crate) fn write(writer: &mut Writer, rows: Vec<Tracking>) {
    let batch = Routed { claim: None, rows: rows.into(), bytes: 0 };
    writer
        .write(&[batch], &[], &Now { wall: WallTime(1), boot: BootNs(1), clocks: &Clocks::default() })
        .unwrap();
}

/// Returns a row with a time and these fields.
pub(crate) fn row(tracer: &str, at: i64, fields: Map<String, Value>) -> Tracking {
    let time = ZonedTime { utc_ns: at, offset: 7200 };
    let mut row = Tracking::new(tracer.into(), time.wall(), Extended::new(Details::Fields(fields)));
    row.time = Some(time);
    row
}

/// Returns a row with a number.
pub(crate) fn numbered(tracer: &str, number: i64) -> Tracking {
    row(tracer, number, Map::from_iter([("number".to_owned(), number.into())]))
}

/// Returns the numbers of these rows.
pub(crate) fn numbers(rows: &[Tracking]) -> Vec<i64> {
    rows.iter().map(|row| row.extended.get("number").unwrap().to_plain().parse().unwrap()).collect()
}

/// Returns the present moment for these rows, whose times are small numbers.
pub(crate) fn moment(utc_ns: i64) -> Moment {
    Moment { utc_ns, zone: jiff::tz::TimeZone::UTC }
}

impl Scratch {
    /// Seals all rows.
    pub(crate) fn seal(&self) {
        let mut connection = self.open();
        let mut sealer = Sealer::new(&mut connection, moment(0)).unwrap();
        assert_eq!(sealer.recover().unwrap(), None);
        while sealer.seal(u64::MAX).unwrap().is_some() {}
    }

    /// Seals all rows as the only segment; returns its folder.
    pub(crate) fn seal_one(&self) -> PathBuf {
        self.seal();
        let [segment] = &store::segment::list(&self.open()).unwrap()[..] else { panic!("one segment") };
        store::segment::Folder::beside(&self.path()).segment(&segment.name)
    }

    /// Returns what is wrong with the store.
    pub(crate) fn findings(&self) -> Vec<String> {
        let found = store::segment::verify(&self.open(), |_| {}).unwrap();
        found.into_iter().map(|finding| format!("{}: {}", finding.subject, finding.what)).collect()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
