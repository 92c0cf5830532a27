//! Migration of files from versions that had no column `time`. Opening such a file adds the columns and the index, which
//! changes no row. Then the rows get their `time` in small pieces, each a transaction of its own, between the writes of new
//! rows. Until all rows have it, readers compute `time` from `dt` in the same way as this module, so that answers are always
//! the same; and the file keeps the mark of its old layout, so that the next run continues. Rows in tables of Python
//! duetector to which the agent writes are migrated once, in the same way.

use std::time::Duration;

use actors::clock;
use model::LocalTimes;
use model::schema::parse_table_name;
use rusqlite::Connection;

use super::{schema, trust};

/// Number of rows in a piece.
const PIECE: usize = 1000;
/// Time after which no further piece is begun before new rows are written.
const PATIENCE: Duration = Duration::from_millis(50);

/// A table with rows that have no `time`.
#[derive(Debug)]
struct Table {
    name: String,
    collector_id: String,
    /// Rows up to this id are done.
    after: i64,
}

/// Tables with rows that wait for their `time`.
#[derive(Debug, Default)]
pub(super) struct Migration {
    tables: Vec<Table>,
    rows: u64,
}

impl Migration {
    /// Adds missing columns and indexes to the tables that the agent made, and finds those with rows that have no `time`.
    pub(super) fn begin(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT t.name FROM sqlite_master t, pragma_table_info(t.name) c
                   WHERE t.type = 'table' AND c.name = 'exec_id' ORDER BY t.name";
        let mut names = connection.prepare(sql)?;
        let names = names.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let mut tables = Vec::new();
        for name in names {
            let Some((_, collector_id)) = parse_table_name(&name) else { continue };
            schema::complete(connection, &name)?;
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE time IS NULL)", schema::quote(&name));
            if connection.query_row(&sql, (), |row| row.get(0))? {
                tables.push(Table { collector_id: collector_id.to_owned(), after: i64::MIN, name });
            }
        }
        Ok(Self { tables, rows: 0 })
    }

    /// Adds a table of another writer, which has just got the column.
    pub(super) fn add(&mut self, name: String, collector_id: &str) {
        self.tables.push(Table { name, collector_id: collector_id.to_owned(), after: i64::MIN });
    }

    /// Returns whether no rows wait any more.
    pub(super) fn is_done(&self) -> bool {
        self.tables.is_empty()
    }

    /// Gives some rows their `time`.
    pub(super) fn proceed(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let (times, end) = (times(connection)?, clock::now() + PATIENCE);
        while let Some(table) = self.tables.last_mut() {
            let transaction = connection.unchecked_transaction()?;
            let rows = table.piece(&transaction, &times)?;
            transaction.commit()?;
            self.rows += rows as u64;
            if rows < PIECE {
                self.tables.pop();
            }
            if clock::now() >= end {
                break;
            }
        }
        if self.is_done() {
            trust::mark(connection)?;
            tracing::info!(rows = self.rows, "rows of a version before have got their time");
        }
        Ok(())
    }
}

impl Table {
    /// Converts the rows of a piece; returns the number of rows that were read.
    fn piece(&mut self, connection: &Connection, times: &LocalTimes) -> rusqlite::Result<usize> {
        let table = schema::quote(&self.name);
        let mut rows = connection.prepare_cached(&format!(
            "SELECT id, CAST(dt AS TEXT) FROM {table} WHERE time IS NULL AND id > ? ORDER BY id LIMIT {PIECE}"
        ))?;
        let rows = rows.query_map([self.after], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<(i64, Option<String>)>>>()?;
        let mut update = connection.prepare_cached(&format!("UPDATE {table} SET time = ? WHERE id = ?"))?;
        for (id, dt) in &rows {
            // A row of another writer may have no time at all.
            if let Some(time) = dt.as_deref().and_then(|dt| times.utc_ns(&self.collector_id, dt)) {
                update.execute((time, id))?;
            }
        }
        self.after = rows.last().map_or(self.after, |(id, _)| *id);
        Ok(rows.len())
    }
}

/// Returns the conversion of the file's local times, which knows in which zones its runs were.
fn times(connection: &Connection) -> rusqlite::Result<LocalTimes> {
    let mut times = LocalTimes::new(clock::zone());
    let mut runs = connection.prepare("SELECT collector_id, run_id, started FROM duetector_actors_run")?;
    let text = |row: &rusqlite::Row<'_>, index| row.get::<_, String>(index);
    for run in runs.query_map((), |row| Ok([text(row, 0)?, text(row, 1)?, text(row, 2)?]))? {
        let [collector, run_id, started] = run?;
        times.add_run(&collector, &run_id, &started);
    }
    Ok(times)
}
