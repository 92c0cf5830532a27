//! The run and its accounts, in tables of our own beside the rows.

use std::collections::BTreeMap;

use model::{AccountSnapshot, WallTime};
use rusqlite::{Connection, params};

use super::schema::stored_name;
use super::{Book, Run};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS duetector_actors_run (
        run_id TEXT PRIMARY KEY, collector_id TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, version TEXT NOT NULL,
        adopted TEXT);
    CREATE TABLE IF NOT EXISTS duetector_actors_account (
        run_id TEXT NOT NULL, tracer TEXT NOT NULL, seen INTEGER NOT NULL, stored INTEGER NOT NULL,
        filtered INTEGER NOT NULL, lost_ring INTEGER NOT NULL, lost_decode INTEGER NOT NULL,
        lost_queue INTEGER NOT NULL, lost_sink INTEGER NOT NULL, PRIMARY KEY (run_id, tracer));";

/// Notes that the run has begun. A later incarnation of the sink finds it noted; one that comes after an orderly end (its
/// settings changed) goes on with it.
pub(super) fn begin(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    // Files of versions before.
    let known = "SELECT count(*) FROM pragma_table_info('duetector_actors_run') WHERE name = 'adopted'";
    if connection.query_row(known, [], |row| row.get::<_, i64>(0))? == 0 {
        connection.execute_batch("ALTER TABLE duetector_actors_run ADD COLUMN adopted TEXT")?;
    }
    connection.execute(
        "INSERT INTO duetector_actors_run (run_id, collector_id, started, version) VALUES (?, ?, ?, ?)
         ON CONFLICT (run_id) DO UPDATE SET ended = NULL",
        params![run.run_id, run.collector_id, run.started.to_text(), env!("CARGO_PKG_VERSION")],
    )?;
    Ok(())
}

/// Keeps the accounts as they are now.
pub(super) fn write(connection: &Connection, run_id: &str, books: &[Book]) -> rusqlite::Result<()> {
    // Two tracers may be stored under one name; what is theirs together is one line.
    let mut lines: BTreeMap<String, AccountSnapshot> = BTreeMap::new();
    for book in books {
        let line = lines.entry(stored_name(book.tracer.as_str())).or_default();
        let more = book.snapshot;
        line.seen += more.seen;
        line.stored += more.stored;
        line.filtered += more.filtered;
        line.lost.ring += more.lost.ring;
        line.lost.decode += more.lost.decode;
        line.lost.queue += more.lost.queue;
        line.lost.sink += more.lost.sink;
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO duetector_actors_account VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (tracer, line) in lines {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let lost = line.lost;
        statement.execute(params![
            run_id,
            tracer,
            number(line.seen),
            number(line.stored),
            number(line.filtered),
            number(lost.ring),
            number(lost.decode),
            number(lost.queue),
            number(lost.sink),
        ])?;
    }
    Ok(())
}

/// Notes that the run has ended.
pub(super) fn end(connection: &Connection, run_id: &str, ended: WallTime) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE duetector_actors_run SET ended = ? WHERE run_id = ?",
        params![ended.to_text(), run_id],
    )?;
    Ok(())
}
