//! Writes a store with the edge files of made-up flows (`analyzer/src/lineage/made_up.rs`), without the rows that they would be of: each
//! segment has one row. Arguments: the folder, and the number of edges. Prints JSON: what was written, and the time that it took.
//!
//! With `count` instead of a number, it prints the number of edges of the store in the folder, and the bytes of its edge files.

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use analyzer::lineage::{self, Edges as _, World, made_up};
use analyzer::{Span, Store};
use model::{BootNs, Clocks, Details, Direction, Extended, Routed, TracerName, Tracking, Usage, ZonedTime};
use rusqlite::Connection;
use serde_json::json;
use store::Writer;
use store::bookkeeping::{Now, Run};
use store::segment::{Moment, Sealer};

/// 2026-01-01, UTC.
const START: i64 = 1_767_225_600_000_000_000;
/// Edges of a segment.
const OF_SEGMENT: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(edges)) = (arguments.next(), arguments.next()) else {
        return Err("arguments: FOLDER EDGES".into());
    };
    let path = PathBuf::from(folder).join("store.sqlite3");
    if edges == "count" {
        return count(&path);
    }
    let edges = edges.parse::<u64>()?;
    (0..edges.div_ceil(OF_SEGMENT)).try_for_each(|number| segment(&path, number))?;
    let made = made_up::fill(&Store::open(&path)?, edges)?;
    say(&json!({ "uses": made.uses, "seconds": made.seconds }).to_string());
    Ok(())
}

fn count(path: &Path) -> Result<(), Box<dyn Error>> {
    let span = Span { since: i64::MIN, until: i64::MAX };
    let world = World::read(&Store::open(path)?, span)?;
    let segments = path.parent().unwrap_or(Path::new(".")).join("segments");
    let files = fs::read_dir(segments)?.filter_map(|entry| Some(entry.ok()?.path().join("lineage.edges")));
    let bytes: u64 = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let mut edges = 0_u64;
    world.each(lineage::Direction::Forward, &mut |_| {
        edges += 1;
        ControlFlow::Continue(())
    });
    say(&json!({ "edges": edges, "nodes": world.nodes(), "bytes": bytes }).to_string());
    Ok(())
}

/// Writes a sealed segment with one row.
fn segment(path: &Path, number: u64) -> Result<(), Box<dyn Error>> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF",
        )?;
        Ok(connection)
    };
    let at = ZonedTime { utc_ns: START + number.cast_signed() * 1_000_000_000, offset: 0 };
    let (wall, boot) = (at.wall(), BootNs(1_000_000_000 * (number + 1)));
    let run = Run { run_id: format!("made-up-{number}"), collector_id: "made-up".into(), started: wall };
    let (mut writer, _) = Writer::begin(open()?, &run, None)?;
    let used = Usage {
        path: "/".into(),
        path_incomplete: false,
        of_system: false,
        file: None,
        socket: None,
        flags: 0,
        direction: Direction::Read,
        bytes: 0,
        calls: 0,
        via: Vec::new(),
        first: boot,
        last: boot,
    };
    let details = Details::Usage(Box::new(used));
    let mut row = Tracking::new(TracerName::new("usage"), wall, Extended::new(details));
    (row.time, row.boot_ns) = (Some(at), Some(boot.0.cast_signed()));
    let batch = Routed { claim: None, rows: vec![row].into(), bytes: 0 };
    writer.write(&[batch], &[], &Now { wall, boot, clocks: &Clocks::default() })?;
    writer.end(&[], wall, boot)?;
    let mut connection = open()?;
    let mut sealer =
        Sealer::new(&mut connection, Moment { utc_ns: at.utc_ns, zone: jiff::tz::TimeZone::UTC })?;
    sealer.recover()?;
    sealer.seal(u64::MAX)?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(text: &str) {
    println!("{text}");
}
