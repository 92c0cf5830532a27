//! The rows that this sink wrote as an additional output: they are in the store, too, and readers of both leave them out here. The
//! ids are noted in the transaction of the rows, with the run of the store that has them, so that a copy of this file elsewhere,
//! beside no store or another one, is read whole.

use rusqlite::{Connection, params};

/// The table: rows `first` to `last` of the table `name` are also in the store of the run.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS duetector_actors_copied (
        name TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, run_id TEXT NOT NULL,
        PRIMARY KEY (name, first));";

/// Makes the table if it is missing. Forgets rows that are not there any more: new rows may get their ids.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    let mut names = connection.prepare("SELECT DISTINCT name FROM duetector_actors_copied")?;
    for name in names.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()? {
        let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)";
        let last: i64 = if connection.query_row(is_there, [&name], |row| row.get(0))? {
            let sql = format!("SELECT ifnull(max(rowid), 0) FROM {}", super::schema::quote(&name));
            connection.query_row(&sql, [], |row| row.get(0))?
        } else {
            0
        };
        connection.execute(
            "DELETE FROM duetector_actors_copied WHERE name = ? AND first > ?",
            params![name, last],
        )?;
        let cut = "UPDATE duetector_actors_copied SET last = ?2 WHERE name = ?1 AND last > ?2";
        connection.execute(cut, params![name, last])?;
    }
    Ok(())
}

/// Notes that the `count` rows that were inserted last are also in the store of that run.
pub(super) fn note(connection: &Connection, name: &str, count: i64, run_id: &str) -> rusqlite::Result<()> {
    // While a transaction is open, nobody else inserts rows, so the ids have no gaps.
    let last = connection.last_insert_rowid();
    let first = last - count + 1;
    let extended = connection
        .prepare_cached(
            "UPDATE duetector_actors_copied SET last = ? WHERE name = ? AND last = ? AND run_id = ?",
        )?
        .execute(params![last, name, first - 1, run_id])?;
    if extended == 0 {
        connection
            .prepare_cached("INSERT OR REPLACE INTO duetector_actors_copied VALUES (?, ?, ?, ?)")?
            .execute(params![name, first, last, run_id])?;
    }
    Ok(())
}
