//! Tables of rows: duetector's DDL followed by our columns, which are also added to tables that Python duetector
//! made.

use model::schema::{self, COLUMNS, Column, ColumnKind};
use rusqlite::Connection;

/// A table of rows.
pub(super) struct Table {
    pub(super) name: String,
    /// The statement that inserts a row.
    pub(super) insert: String,
    /// True if it was there and lacked the column `time`.
    pub(super) lacked_time: bool,
}

/// Creates the tracer's table and its columns if they are missing.
pub(super) fn ensure_table(
    connection: &Connection,
    tracer: &str,
    collector_id: &str,
) -> rusqlite::Result<Table> {
    let name = schema::table_name(&schema::stored_name(tracer), collector_id);
    let table = quote(&name);
    let columns: Vec<String> = COLUMNS.iter().map(declaration).collect();
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {table} (id INTEGER NOT NULL, {}, PRIMARY KEY (id))",
        columns.join(", ")
    ))?;
    let lacked_time = complete(connection, &name)?;
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name()).collect();
    let placeholders = vec!["?"; COLUMNS.len()].join(", ");
    let insert = format!("INSERT INTO {table} ({}) VALUES ({placeholders})", names.join(", "));
    Ok(Table { name, insert, lacked_time })
}

/// Adds the columns and the index that a table lacks. Returns whether it lacked the column `time`.
pub(super) fn complete(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let table = quote(name);
    let mut present = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let present = present.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let lacks = |column: &&Column| !present.iter().any(|name| name.eq_ignore_ascii_case(column.name()));
    let lacking: Vec<&Column> = COLUMNS.iter().filter(lacks).collect();
    for column in &lacking {
        connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {}", declaration(column)))?;
    }
    // The only index: most queries select by time, and an index on text costs six times as much as the insert. The
    // index name must not begin with the prefix of tables.
    let index = quote(&format!("duetector_actors_time:{name}"));
    // The index of versions before, which had no `time`.
    let before = quote(&format!("duetector_actors_dt:{name}"));
    connection.execute_batch(&format!(
        "CREATE INDEX IF NOT EXISTS {index} ON {table} (time); DROP INDEX IF EXISTS {before}"
    ))?;
    Ok(lacking.contains(&&Column::Time))
}

fn declaration(column: &Column) -> String {
    let kind = match column.kind() {
        ColumnKind::Integer | ColumnKind::Time => "INTEGER",
        ColumnKind::Text => "VARCHAR",
        ColumnKind::DateTime => "DATETIME",
        ColumnKind::Json => "JSON NOT NULL",
    };
    format!("{} {kind}", column.name())
}

/// Quotes an identifier, which may contain any characters.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
