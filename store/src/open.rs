//! Opens a store's file.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::distrust::distrust;

/// Opens the file for reading. A lock on it is waited for as long as `patience`.
///
/// # Errors
/// The file is not there, or SQLite can't read it.
pub fn for_reading(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, patience)
}

/// Opens the file for a process that changes it beside the agent.
///
/// # Errors
/// The file is not there, or SQLite can't open it.
pub fn for_changes(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, patience)?;
    // A power cut may undo the latest transactions, but in order.
    connection.pragma_update(None, "synchronous", "normal")?;
    Ok(connection)
}

fn open(path: &Path, mode: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(patience)?;
    distrust(&connection)?;
    Ok(connection)
}
