//! Positions in pinned rings up to which every record is accounted for: written with the rows, read by the next run.

use std::path::Path;
use std::time::Duration;

use model::{
    BootNs, Checkpoint, KilledRun, Lost, Outcomes, Remembered, RingCheckpoint, TracerName, WallTime,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params, params_from_iter};

use super::run::Run;
use super::tracer_account::TracerAccount;
use crate::distrust;

/// Time to wait for another program that holds the file: without these positions no run can begin.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS duetector_actors_store (id TEXT PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS duetector_actors_position (
        pin TEXT NOT NULL, tracer TEXT NOT NULL, position INTEGER NOT NULL, seen_before INTEGER NOT NULL,
        stored INTEGER NOT NULL, filtered INTEGER NOT NULL, lost_ring INTEGER NOT NULL, lost_decode INTEGER NOT NULL,
        lost_queue INTEGER NOT NULL, lost_sink INTEGER NOT NULL, at_ns INTEGER NOT NULL, run_id TEXT NOT NULL,
        PRIMARY KEY (pin, tracer));";

/// Creates missing tables, and returns the store's id. It distinguishes this file from any other, also from one that
/// replaces it; only a file that replaces one that was lost during this run has `known`, the id of that one.
pub(super) fn begin(connection: &Connection, run: &Run, known: Option<&str>) -> rusqlite::Result<String> {
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO duetector_actors_store (id) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM duetector_actors_store)",
        [known.unwrap_or(&run.run_id)],
    )?;
    connection.query_row("SELECT id FROM duetector_actors_store", [], |row| row.get(0))
}

/// Writes the positions, and records once which earlier run's rings this run has adopted.
pub(super) fn write(
    connection: &Connection,
    run: &Run,
    accounts: &[TracerAccount],
    at: BootNs,
) -> rusqlite::Result<()> {
    let checkpoints =
        accounts.iter().filter_map(|account| Some((&account.tracer, account.checkpoint.as_ref()?)));
    for (tracer, checkpoint) in checkpoints {
        let pin = &checkpoint.pinned.pin;
        if checkpoint.pinned.adopted {
            connection
                .prepare_cached(
                    "UPDATE duetector_actors_run SET adopted = (SELECT run_id FROM duetector_actors_position
                     WHERE pin = ?1 AND run_id <> ?2) WHERE run_id = ?2 AND adopted IS NULL",
                )?
                .execute(params![pin, run.run_id])?;
        }
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let Checkpoint { position, base, settled, .. } = checkpoint.point;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO duetector_actors_position VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                pin,
                tracer.as_str(),
                number(position),
                number(base),
                number(settled.stored),
                number(settled.filtered),
                number(settled.lost.ring),
                number(settled.lost.decode),
                number(settled.lost.queue),
                number(settled.lost.sink),
                number(at.0),
                run.run_id,
            ])?;
    }
    Ok(())
}

/// Reads from the file at `path` the positions in the rings it got records from.
///
/// # Errors
/// The file can't be opened or read.
pub fn remembered(path: &Path) -> rusqlite::Result<Remembered> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    distrust::distrust(&connection)?;
    read(&connection)
}

/// Result of taking over from another store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Number of positions.
    pub positions: usize,
    /// The last run of the other one, if it was killed and no run has written to this one yet.
    pub killed: Option<KilledRun>,
}

/// Moves the positions from the file `other` to the one at `path`, if that has taken over the other's id. Positions that this
/// file has already stay.
///
/// # Errors
/// A file can't be opened, read or written. Positions may be in both files then, and both are right.
pub fn take_over(path: &Path, other: &Path) -> rusqlite::Result<TakenOver> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let (to, from) = (Connection::open_with_flags(path, flags)?, Connection::open_with_flags(other, flags)?);
    for connection in [&to, &from] {
        connection.busy_timeout(PATIENCE)?;
        distrust::distrust(connection)?;
    }
    if !has_tables(&to)? || !has_tables(&from)? || id(&to)? != id(&from)? {
        return Ok(TakenOver::default());
    }
    let was_written = "SELECT EXISTS (SELECT 1 FROM duetector_actors_run WHERE written IS NOT NULL)";
    let was_written: bool = to.query_row(was_written, [], |row| row.get(0))?;
    let killed = if was_written { None } else { killed(&from)? };
    let mut positions = from.prepare("SELECT * FROM duetector_actors_position")?;
    let positions = positions.query_map([], |row| (0..12).map(|index| row.get(index)).collect())?;
    let positions = positions.collect::<rusqlite::Result<Vec<Vec<Value>>>>()?;
    if !positions.is_empty() {
        let transaction = to.unchecked_transaction()?;
        for position in &positions {
            let sql =
                "INSERT OR IGNORE INTO duetector_actors_position VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            transaction.execute(sql, params_from_iter(position))?;
        }
        transaction.commit()?;
        from.execute("DELETE FROM duetector_actors_position", [])?;
    }
    Ok(TakenOver { positions: positions.len(), killed })
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    // A new file has no tables yet if another program held it when the sink wanted to make them.
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN
                  ('duetector_actors_store', 'duetector_actors_position', 'duetector_actors_run')";
    Ok(connection.query_row(tables, [], |row| row.get::<_, u8>(0))? == 3)
}

fn id(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT id FROM duetector_actors_store", [], |row| row.get(0)).optional()
}

fn read(connection: &Connection) -> rusqlite::Result<Remembered> {
    if !has_tables(connection)? {
        return Ok(Remembered::default());
    }
    let store = id(connection)?;
    let mut points = connection.prepare(
        "SELECT pin, tracer, position, seen_before, stored, filtered, lost_ring, lost_decode, lost_queue, lost_sink,
         at_ns FROM duetector_actors_position",
    )?;
    let points = points.query_map([], |row| {
        let count = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
        let lost = Lost { ring: count(6)?, decode: count(7)?, queue: count(8)?, sink: count(9)? };
        let settled = Outcomes { stored: count(4)?, filtered: count(5)?, lost };
        Ok(RingCheckpoint {
            pin: row.get(0)?,
            tracer: TracerName::new(&row.get::<_, String>(1)?),
            checkpoint: Checkpoint::new(count(2)?, count(3)?, settled),
            at: BootNs(count(10)?),
        })
    })?;
    let points = points.collect::<rusqlite::Result<_>>()?;
    Ok(Remembered { store: store.unwrap_or_default(), points, killed: killed(connection)? })
}

/// Returns the last run that wrote anything, if it has no end. (The present run has not written yet.)
fn killed(connection: &Connection) -> rusqlite::Result<Option<KilledRun>> {
    let last =
        "SELECT run_id, collector_id, written, ended FROM duetector_actors_run WHERE written IS NOT NULL
                ORDER BY rowid DESC LIMIT 1";
    let last = connection.query_row(last, [], |row| {
        let (run_id, collector_id): (String, String) = (row.get(0)?, row.get(1)?);
        Ok((run_id, collector_id, row.get::<_, String>(2)?, row.get::<_, Option<String>>(3)?))
    });
    let Some((run_id, collector_id, written, None)) = last.optional()? else { return Ok(None) };
    let Some(written) = WallTime::parse(&written) else { return Ok(None) };
    let mut tracers = connection.prepare("SELECT tracer FROM duetector_actors_account WHERE run_id = ?")?;
    let tracers = tracers.query_map([run_id], |row| Ok(TracerName::new(&row.get::<_, String>(0)?)))?;
    Ok(Some(KilledRun { collector_id, written, tracers: tracers.collect::<rusqlite::Result<_>>()? }))
}
