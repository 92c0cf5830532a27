//! Ids by which files of duetector's layout are recognised.

use rusqlite::{Connection, OptionalExtension as _};

use super::table::quote;

/// Returns the ids by which a file of duetector's layout is recognised; none if it has no rows yet. A file that the agent wrote to
/// has an id of its own, which comes first. Each table with rows has an id made of its first row. Copies of the file have that row,
/// too, and it stays the same while the file grows: so a file of Python duetector is recognised even after the agent has added rows
/// to it. `schema` is the name that the connection has for the file.
///
/// # Errors
/// SQLite can't read the file.
pub fn file_ids(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<String>> {
    let mut ids = Vec::new();
    let is_ours = format!("SELECT 1 FROM {schema}.sqlite_master WHERE name = 'duetector_actors_store'");
    if connection.query_row(&is_ours, [], |_| Ok(())).optional()?.is_some() {
        let sql = format!("SELECT id FROM {schema}.duetector_actors_store");
        ids.extend(connection.query_row(&sql, [], |row| row.get::<_, String>(0)).optional()?);
    }
    let tables = format!(
        "SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name LIKE 'duetector_tracking:%'
         ORDER BY rowid"
    );
    let mut tables = connection.prepare(&tables)?;
    let tables = tables.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for name in tables {
        let row = format!(
            "SELECT quote(id) || ' ' || quote(dt) || ' ' || quote(pid) || ' ' || quote(comm)
             FROM {schema}.{} ORDER BY id LIMIT 1",
            quote(&name)
        );
        let row = connection.query_row(&row, [], |row| row.get::<_, String>(0)).optional()?;
        ids.extend(row.map(|row| format!("{name} {row}")));
    }
    Ok(ids)
}
