//! Tables of rows: duetector's DDL, with our columns behind, also where Python made the table.

use model::schema::{self, COLUMNS, ColumnKind};
use rusqlite::Connection;

use crate::config::table_part;

/// Makes the tracer's table if it is missing, and what is missing in it; returns the statement that inserts a row.
pub(super) fn ensure_table(
    connection: &Connection,
    tracer: &str,
    collector_id: &str,
) -> rusqlite::Result<String> {
    let name = schema::table_name(&stored_name(tracer), collector_id);
    let table = quote(&name);
    let columns: Vec<String> = COLUMNS.iter().map(declaration).collect();
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {table} (id INTEGER NOT NULL, {}, PRIMARY KEY (id))",
        columns.join(", ")
    ))?;
    let mut present = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let present = present.query_map([&name], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for column in
        COLUMNS.iter().filter(|column| !present.iter().any(|name| name.eq_ignore_ascii_case(column.name)))
    {
        connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {}", declaration(column)))?;
    }
    // The only index: times are asked for by everybody, and an index on texts costs six times the insert. Its name
    // must not begin with the prefix of tables.
    let index = quote(&format!("duetector_actors_dt:{}", name));
    connection.execute_batch(&format!("CREATE INDEX IF NOT EXISTS {index} ON {table} (dt)"))?;
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let places = vec!["?"; COLUMNS.len()].join(", ");
    Ok(format!("INSERT INTO {table} ({}) VALUES ({places})", names.join(", ")))
}

/// A tracer's name as it stands in its table's name and in the accounts: lower case, as duetector has it, and
/// nothing in it at which its analyzer would cut.
pub(super) fn stored_name(tracer: &str) -> String {
    table_part(&tracer.to_lowercase())
}

fn declaration(column: &schema::Column) -> String {
    let kind = match column.kind {
        ColumnKind::Integer => "INTEGER",
        ColumnKind::Text => "VARCHAR",
        ColumnKind::DateTime => "DATETIME",
        ColumnKind::Json => "JSON NOT NULL",
    };
    format!("{} {kind}", column.name)
}

/// An identifier, whatever is in it.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
