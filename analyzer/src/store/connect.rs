//! Connections to files, read-only, and names in statements.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use store::format;

use crate::Error;

/// Time to wait for a writer without a write-ahead log (Python duetector) to release its lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Size of the page cache in KiB. It bounds memory: a sort that needs more spills to disk.
pub(super) const CACHE_KIB: i64 = 16 * 1024;

/// A file of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum File {
    /// The file of duetector's layout beside the columnar store. Its rows come first where order does not say otherwise.
    Beside,
    /// The columnar store, or the only file.
    Main,
}

impl File {
    /// Returns the file's name in statements.
    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Beside => "beside",
            Self::Main => "main",
        }
    }
}

/// Returns an identifier in quotes.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Opens the file. Also returns whether it is a columnar store.
pub(super) fn reach(path: &Path) -> Result<(Connection, bool), Error> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(Error::Missing { path: path.to_owned() }),
        Err(source) => return Err(Error::Reach { path: path.to_owned(), source }),
    }
    let connection = match connect(path, false) {
        // A file in write-ahead mode needs its index beside it. If the index is missing and can't be created (in a
        // folder that we may not write to), then no process is writing, and the file alone is complete.
        Err(error) if needs_index(&error) && !wal_in_use(path) => connect(path, true),
        other => other,
    };
    let opened = connection.and_then(|connection| {
        let is_columnar = format::is_store(&connection)?;
        Ok((connection, is_columnar))
    });
    opened.map_err(|source| Error::Open { path: path.to_owned(), source })
}

/// Returns whether the file has no tables yet: an agent has just made it.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)", (), |row| row.get(0))
}

fn connect(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let uri = uri(path, immutable);
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    // The file may be another user's: its schema must not run functions, and its pages are checked before use.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Opening is lazy: a file that is not a database, or can't be read, fails at the first read.
    connection.query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()))?;
    Ok(connection)
}

/// Returns the path as a URI; every byte that could have a meaning in a URI is escaped.
pub(super) fn uri(path: &Path, immutable: bool) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;

    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str(if immutable { "?mode=ro&immutable=1" } else { "?mode=ro" });
    uri
}

pub(super) fn needs_index(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

pub(super) fn wal_in_use(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|wal| wal.len() > 0)
}
