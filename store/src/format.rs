//! The tables of the file, and its format's version.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::Error;
use crate::bookkeeping::SCHEMA;

/// Marks the file as a store, in SQLite's `application_id`: "DuAc".
pub const APPLICATION: i64 = 0x4475_4163;
/// Version of the format, in the file's `user_version`.
pub const VERSION: i64 = 2;

/// Tables of rows. A stream is the rows of one tracer from one collector; rows of a stream are numbered, and those of a batch
/// are in order of their numbers. The columns of a batch are those of its layout. `crc` is the CRC-32 of `data`; batches that
/// version 1 wrote have none.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS stream (
        id INTEGER PRIMARY KEY, tracer TEXT NOT NULL, collector_id TEXT NOT NULL, UNIQUE (tracer, collector_id));
    CREATE TABLE IF NOT EXISTS layout (
        id INTEGER PRIMARY KEY, tracer TEXT NOT NULL, made_by TEXT NOT NULL, schema BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS batch (
        number INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL REFERENCES stream (id),
        layout INTEGER NOT NULL REFERENCES layout (id), first_id INTEGER NOT NULL, rows INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER);
    CREATE INDEX IF NOT EXISTS batch_stream ON batch (stream, first_id);";

/// Tables of sealed rows, since version 2. The rows of a stream below `closed` are left alone by the writer, and those below
/// `sealed` are in segments. A part is a row group of a segment's file.
const SEGMENT_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS sealing (
        stream INTEGER PRIMARY KEY REFERENCES stream (id), closed INTEGER NOT NULL, sealed INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS segment (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, manifest TEXT);
    CREATE TABLE IF NOT EXISTS part (
        segment INTEGER NOT NULL REFERENCES segment (number), stream INTEGER NOT NULL REFERENCES stream (id),
        file TEXT NOT NULL, row_group INTEGER NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
        rows INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (segment, file, row_group));
    CREATE INDEX IF NOT EXISTS part_stream ON part (stream, first);";

/// Rows that were imported, since version 2: those of the table `name` of a file, up to `last_id`.
const IMPORTED: &str = "
    CREATE TABLE IF NOT EXISTS imported (
        file TEXT NOT NULL, name TEXT NOT NULL, last_id INTEGER NOT NULL, rows INTEGER NOT NULL,
        unreadable INTEGER NOT NULL, PRIMARY KEY (file, name));";

/// Returns whether the file is a store of this crate's format, whatever its version.
///
/// # Errors
/// SQLite can't read the file.
pub fn is_store(connection: &Connection) -> rusqlite::Result<bool> {
    let found: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    Ok(found == APPLICATION)
}

/// Checks that the file has a format that this version reads.
///
/// # Errors
/// The version is a later one, or SQLite can't read the file.
pub fn check_version(connection: &Connection) -> Result<(), Error> {
    let found = version(connection)?;
    if found > VERSION { Err(Error::Version { found, known: VERSION }) } else { Ok(()) }
}

/// Makes the tables of a new file and returns true, or checks that a file has exactly these tables and returns false.
/// [`crate::bookkeeping::Bookkeeping::begin`] completes those of a run.
///
/// # Errors
/// The file is not a store, or of a later version, or SQLite can't write it.
pub(crate) fn begin(connection: &Connection) -> Result<bool, Error> {
    let is_new: bool =
        connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))?;
    if is_new {
        make(connection)?;
    } else if !is_store(connection)? {
        return Err(Error::Foreign("it is a database of another program".to_owned()));
    }
    check_version(connection)?;
    upgrade(connection)?;
    check_tables(connection)?;
    Ok(is_new)
}

/// Returns the version of the file's format.
///
/// # Errors
/// SQLite can't read the file.
pub fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a file of an earlier version to this one. Nothing that the file has is written again.
fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    if version(connection)? < 2 {
        connection.execute_batch("ALTER TABLE batch ADD COLUMN crc INTEGER")?;
        connection.execute_batch(SEGMENT_TABLES)?;
        connection.execute_batch(IMPORTED)?;
        connection.pragma_update(None, "user_version", 2)?;
    }
    Ok(())
}

fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute_batch(SEGMENT_TABLES)?;
    connection.execute_batch(IMPORTED)?;
    SCHEMA.iter().try_for_each(|create| connection.execute_batch(create))?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// Checks that nothing was added or changed in the file's schema. A trigger could remove rows as they are inserted, and a view
/// could stand in for a table.
fn check_tables(connection: &Connection) -> Result<(), Error> {
    let scratch = Connection::open_in_memory()?;
    make(&scratch)?;
    let (expected, found) = (entries(&scratch)?, entries(connection)?);
    let differs = |(name, entry): (&String, &(String, String))| {
        (expected.get(name) != Some(entry)).then(|| format!("its {} {name:?} is not as we made it", entry.0))
    };
    let changed = found.iter().find_map(differs);
    let lacking = expected.keys().find(|name| !found.contains_key(*name));
    match changed.or_else(|| lacking.map(|name| format!("it lacks {name:?}"))) {
        Some(what) => Err(Error::Foreign(what)),
        None => Ok(()),
    }
}

/// Returns the kind and the statement of everything in a schema, by name.
fn entries(connection: &Connection) -> rusqlite::Result<BTreeMap<String, (String, String)>> {
    let sql = "SELECT name, type, ifnull(sql, '') FROM sqlite_master WHERE substr(name, 1, 7) <> 'sqlite_'";
    let mut statement = connection.prepare(sql)?;
    let entries = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    entries.collect()
}
