//! The run and its accounts, in tables of their own beside the rows.

use std::collections::BTreeMap;

use model::schema::stored_name;
use model::{AccountSnapshot, WallTime};
use rusqlite::{Connection, params};

use super::run::Run;
use super::tracer_account::TracerAccount;

pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS duetector_actors_run (
        run_id TEXT PRIMARY KEY, collector_id TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, version TEXT NOT NULL,
        adopted TEXT, written TEXT);
    CREATE TABLE IF NOT EXISTS duetector_actors_account (
        run_id TEXT NOT NULL, tracer TEXT NOT NULL, seen INTEGER NOT NULL, stored INTEGER NOT NULL,
        filtered INTEGER NOT NULL, lost_ring INTEGER NOT NULL, lost_decode INTEGER NOT NULL,
        lost_queue INTEGER NOT NULL, lost_sink INTEGER NOT NULL, PRIMARY KEY (run_id, tracer));";

/// Columns of `duetector_actors_run` that files of earlier versions lack.
pub(crate) const LATER: [&str; 2] = ["adopted", "written"];

/// Records that the run has begun. A later incarnation of the sink finds the entry; a sink that follows after an
/// orderly end (because settings changed) reopens it.
pub(super) fn begin(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    for column in LATER {
        let known = "SELECT count(*) FROM pragma_table_info('duetector_actors_run') WHERE name = ?";
        if connection.query_row(known, [column], |row| row.get::<_, i64>(0))? == 0 {
            connection
                .execute_batch(&format!("ALTER TABLE duetector_actors_run ADD COLUMN {column} TEXT"))?;
        }
    }
    connection.execute(
        "INSERT INTO duetector_actors_run (run_id, collector_id, started, version) VALUES (?, ?, ?, ?)
         ON CONFLICT (run_id) DO UPDATE SET ended = NULL",
        params![run.run_id, run.collector_id, run.started.to_text(), env!("CARGO_PKG_VERSION")],
    )?;
    Ok(())
}

/// Writes the accounts as they are now, and the time: if the run is killed, records after it may be missing.
pub(super) fn write(
    connection: &Connection,
    run_id: &str,
    accounts: &[TracerAccount],
    now: WallTime,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE duetector_actors_run SET written = ? WHERE run_id = ?")?
        .execute(params![now.to_text(), run_id])?;
    // Two tracers may be stored under one name; their counts are added up in one row.
    let mut lines: BTreeMap<String, AccountSnapshot> = BTreeMap::new();
    for account in accounts {
        let line = lines.entry(stored_name(account.tracer.as_str())).or_default();
        let more = account.snapshot;
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

/// Records that the run has ended.
pub(super) fn end(connection: &Connection, run_id: &str, ended: WallTime) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE duetector_actors_run SET ended = ? WHERE run_id = ?",
        params![ended.to_text(), run_id],
    )?;
    Ok(())
}
