//! A file of duetector's layout beside the columnar store: one that an earlier version wrote, or Python duetector, or an additional
//! output. Its rows are shown together with those of the store. Rows that the store has, too, are left out here:
//!
//! - those that `store import` has brought into it, by the table of imports in the store,
//! - those that an additional output wrote, by the table in the file that names the run of the store that has them.
//!
//! The conditions are part of each statement, so that a row is shown once whatever is written or imported meanwhile.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::connect::{CACHE_KIB, File, needs_index, quote, uri, wal_in_use};

/// Table in the file: rows that are also in the store of a run.
const COPIED: &str = "duetector_actors_copied";

/// Adds the file to the connection.
pub(super) fn attach(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    match attach_as(connection, &uri(path, false)) {
        Err(error) if needs_index(&error) && !wal_in_use(path) => {
            connection.execute_batch("DETACH beside")?;
            attach_as(connection, &uri(path, true))
        }
        other => other,
    }
}

fn attach_as(connection: &Connection, uri: &str) -> rusqlite::Result<()> {
    connection.execute("ATTACH ? AS beside", [uri])?;
    connection.pragma_update(Some("beside"), "cache_size", -CACHE_KIB)?;
    // Opening is lazy.
    connection.query_row("SELECT count(*) FROM beside.sqlite_master", (), |_| Ok(()))
}

/// The rows that both files have, as far as the files say.
pub(super) struct Overlap {
    /// The ids that the file can have in the table of imports, as a list for SQL; `None` if the store has no such table, or the
    /// file has no ids.
    imported_as: Option<String>,
    has_copies: bool,
}

impl Overlap {
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let has = |file: File, name: &str| has_table(connection, file, name);
        let is_importing = has(File::Main, store::import::TABLE)?;
        let ids = if is_importing {
            store::import::file_ids(connection, File::Beside.schema())?
        } else {
            Vec::new()
        };
        let list = ids.iter().map(|id| literal(id)).collect::<Vec<_>>().join(", ");
        let imported_as = (!ids.is_empty()).then_some(list);
        let has_runs = has(File::Main, "duetector_actors_run")?;
        Ok(Self { imported_as, has_copies: has_runs && has(File::Beside, COPIED)? })
    }

    /// Returns the condition under which a row of that table is shown; empty for all rows.
    pub(super) fn shown(&self, table: &str) -> String {
        let name = literal(table);
        let mut tests = Vec::new();
        if let Some(ids) = &self.imported_as {
            let table = store::import::TABLE;
            tests.push(format!(
                "id > ifnull((SELECT max(last_id) FROM main.{table} WHERE file IN ({ids}) AND name = {name}), -1)"
            ));
        }
        if self.has_copies {
            tests.push(format!(
                "ifnull((SELECT last FROM beside.{COPIED} WHERE name = {name} AND first <= id AND run_id IN
                 (SELECT run_id FROM main.duetector_actors_run) ORDER BY first DESC LIMIT 1), -1) < id"
            ));
        }
        tests.join(" AND ")
    }

    /// Returns whether no row of that table is shown, so that queries do not have to look at any.
    pub(super) fn hides_all(&self, connection: &Connection, table: &str) -> rusqlite::Result<bool> {
        let mut hidden: Vec<(i64, i64)> = Vec::new();
        if let Some(ids) = &self.imported_as {
            let sql = format!(
                "SELECT max(last_id) FROM main.{} WHERE file IN ({ids}) AND name = ?",
                store::import::TABLE
            );
            let last: Option<i64> = connection.query_row(&sql, [table], |row| row.get(0))?;
            hidden.extend(last.map(|last| (i64::MIN, last)));
        }
        if self.has_copies {
            let sql = format!(
                "SELECT first, last FROM beside.{COPIED} WHERE name = ? AND run_id IN
                 (SELECT run_id FROM main.duetector_actors_run)"
            );
            let mut copied = connection.prepare(&sql)?;
            let copied = copied.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
            hidden.extend(copied.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        if hidden.is_empty() {
            return Ok(false);
        }
        let from = format!("beside.{}", quote(table));
        let sql = format!("SELECT (SELECT min(id) FROM {from}), (SELECT max(id) FROM {from})");
        let ends = connection.query_row(&sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(first), Some(last)): (Option<i64>, Option<i64>) = ends else { return Ok(false) };
        hidden.sort_unstable();
        let next =
            hidden.iter().fold(
                first,
                |next, (from, to)| {
                    if *from <= next { next.max(to.saturating_add(1)) } else { next }
                },
            );
        Ok(next > last)
    }
}

/// True if the file has a table of that name; for tables other than those with rows.
pub(super) fn has_table(connection: &Connection, file: File, name: &str) -> rusqlite::Result<bool> {
    let sql = format!("SELECT 1 FROM {}.sqlite_master WHERE type = 'table' AND name = ?1", file.schema());
    Ok(connection.query_row(&sql, [name], |_| Ok(())).optional()?.is_some())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
