//! Connections that do not believe what is in their file.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _};

/// Makes a connection distrust what is in its file: no functions with side effects in its schema, no triggers, no views, and
/// pages are checked before they are used.
pub fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Returns the first damage that SQLite finds in the whole file, which is read once.
pub fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: Option<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).optional()?;
    Ok(found.filter(|found| found != "ok"))
}
