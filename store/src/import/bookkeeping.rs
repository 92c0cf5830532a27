//! Reads and copies what a file of duetector's layout says about its runs.

use jiff::tz::TimeZone;
use model::LocalTimes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

/// Columns of `duetector_actors_run`.
const RUN_COLUMNS: &str = "run_id, collector_id, started, ended, version, adopted, written";

/// Returns the conversion of the file's local times, which knows in which zones its runs were.
pub(super) fn times(file: &Connection, zone: TimeZone) -> rusqlite::Result<LocalTimes> {
    let mut times = LocalTimes::new(zone);
    if has_table(file, "duetector_actors_run")? {
        let mut runs = file.prepare("SELECT collector_id, run_id, started FROM duetector_actors_run")?;
        let text = |row: &rusqlite::Row<'_>, index| row.get::<_, String>(index);
        for run in runs.query_map([], |row| Ok([text(row, 0)?, text(row, 1)?, text(row, 2)?]))? {
            let [collector, run_id, started] = run?;
            times.add_run(&collector, &run_id, &started);
        }
    }
    Ok(times)
}

/// Returns which rows of a table an additional output wrote while a run of this store had them, too.
pub(super) fn copied(file: &Connection, store: &Connection, name: &str) -> rusqlite::Result<Vec<(i64, i64)>> {
    if !has_table(file, "duetector_actors_copied")? {
        return Ok(Vec::new());
    }
    let sql = "SELECT first, last, run_id FROM duetector_actors_copied WHERE name = ?";
    let mut ranges = file.prepare(sql)?;
    let ranges = ranges.query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut copied = Vec::new();
    for range in ranges {
        let (first, last, run_id): (i64, i64, String) = range?;
        let known = "SELECT 1 FROM duetector_actors_run WHERE run_id = ?";
        if store.query_row(known, [run_id], |_| Ok(())).optional()?.is_some() {
            copied.push((first, last));
        }
    }
    Ok(copied)
}

/// Copies the runs with their accounts, and the changes by which the wall clock was set back. The runs come before those of the
/// store in the order of rows, because the last one there is the agent's latest.
pub(super) fn copy(file: &Connection, store: &Connection) -> rusqlite::Result<()> {
    let transaction = store.unchecked_transaction()?;
    if has_table(file, "duetector_actors_run")? && has_table(file, "duetector_actors_account")? {
        for mut run in
            read(file, &format!("SELECT {RUN_COLUMNS} FROM duetector_actors_run ORDER BY rowid DESC"), 7)?
        {
            let before = "SELECT min(0, ifnull(min(rowid), 0)) - 1 FROM duetector_actors_run";
            run.push(transaction.query_row(before, [], |row| row.get(0))?);
            let sql = format!(
                "INSERT INTO duetector_actors_run ({RUN_COLUMNS}, rowid) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (run_id) DO UPDATE SET ended = excluded.ended, written = excluded.written"
            );
            transaction.execute(&sql, params_from_iter(run))?;
        }
        for account in read(file, "SELECT * FROM duetector_actors_account", 9)? {
            let sql = "INSERT OR REPLACE INTO duetector_actors_account VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
            transaction.execute(sql, params_from_iter(account))?;
        }
    }
    if has_table(file, "duetector_actors_clock")? {
        for change in read(file, "SELECT * FROM duetector_actors_clock ORDER BY rowid", 4)? {
            let sql = "INSERT OR IGNORE INTO duetector_actors_clock VALUES (?, ?, ?, ?)";
            transaction.execute(sql, params_from_iter(change))?;
        }
    }
    transaction.commit()
}

fn read(file: &Connection, sql: &str, columns: usize) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut rows = file.prepare(sql)?;
    let rows = rows.query_map([], |row| (0..columns).map(|index| row.get(index)).collect())?;
    rows.collect()
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?";
    Ok(connection.query_row(sql, [name], |_| Ok(())).optional()?.is_some())
}
