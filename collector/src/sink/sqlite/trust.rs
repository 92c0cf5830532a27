//! Requirements on the file of the store: a layout that this version knows, and nothing in it by which others could change
//! or hide rows while they are written.
//!
//! Triggers could remove rows as they are inserted, while the accounts say "stored"; so could `ON CONFLICT IGNORE`. A view
//! with a table's name could take its place. Indexes are allowed: they can only refuse rows, and those are counted.

use std::collections::{BTreeMap, BTreeSet};

use model::schema::{COLUMNS, TABLE_PREFIX};
use rusqlite::Connection;

use store::bookkeeping::{LATER, SCHEMA};

use super::copied;

/// Version of the layout, in the file's `user_version`. Files of Python duetector, and of versions before 1, have 0; those of
/// version 1 lack the column `time`.
const LAYOUT: i64 = 2;
/// Beginning of the names of our bookkeeping tables.
const OWN: &str = "duetector_actors_";
/// Words in a table's definition by which rows could vanish, or be something else than what was written.
const SUSPICIOUS: [&str; 3] = ["CONFLICT", "VIRTUAL", "GENERATED"];
/// Advice at the end of each refusal.
const OR: &str = "or move the file away, then a new one is made";

/// The reason why a file can't be the store.
pub(super) enum Refusal {
    /// SQLite's own error.
    Sqlite(rusqlite::Error),
    /// Something in it is not ours.
    Foreign(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sqlite(cause)
    }
}

/// Checks the layout and everything in the schema that concerns our tables. Changes nothing. Returns whether the layout is
/// the present one.
pub(super) fn check(connection: &Connection) -> Result<bool, Refusal> {
    let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if layout > LAYOUT {
        return Err(Refusal::Foreign(format!(
            "it was made by a later version of duetector-actors (layout {layout}, this version knows {LAYOUT}): \
             use that version, {OR}"
        )));
    }
    let known = own_columns()?;
    let mut schema = connection.prepare("SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_master")?;
    let text = |row: &rusqlite::Row<'_>, index| row.get::<_, String>(index);
    let entries =
        schema.query_map([], |row| Ok([text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?]))?;
    for entry in entries {
        let [kind, name, table, sql] = entry?;
        if kind == "trigger" && is_ours(&table) {
            return Err(Refusal::Foreign(format!(
                "it has the trigger {name:?} on the table {table:?}, which could remove or change rows: \
                 remove it (DROP TRIGGER), {OR}"
            )));
        }
        if kind == "view" && is_ours(&name) {
            return Err(Refusal::Foreign(format!(
                "{name:?} is a view, not a table: remove it (DROP VIEW), {OR}"
            )));
        }
        if kind == "table" && is_ours(&name) {
            check_table(connection, &name, &sql, &known)?;
        }
    }
    Ok(layout == LAYOUT)
}

/// Notes in the file that it has the present layout.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", LAYOUT)
}

fn check_table(
    connection: &Connection,
    name: &str,
    sql: &str,
    known: &BTreeMap<String, BTreeSet<String>>,
) -> Result<(), Refusal> {
    let sql = sql.to_uppercase();
    let mut words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    if let Some(word) = words.find(|word| SUSPICIOUS.contains(word)) {
        return Err(Refusal::Foreign(format!(
            "the definition of the table {name:?} has the word {word}, so that rows could vanish: rename the table, {OR}"
        )));
    }
    let mut columns = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
    let columns = columns.query_map([name], |row| row.get::<_, String>(0))?;
    let columns = columns.map(|name| Ok(name?.to_lowercase())).collect::<rusqlite::Result<BTreeSet<_>>>()?;
    let own = known.get(&name.to_lowercase());
    let is_known = |column: &String| match own {
        Some(own) => own.contains(column),
        None => column == "id" || COLUMNS.iter().any(|known| known.name() == *column),
    };
    if let Some(column) = columns.iter().find(|column| !is_known(column)) {
        return Err(Refusal::Foreign(format!(
            "the table {name:?} has the column {column:?}, which this version does not know: \
             remove it (ALTER TABLE … DROP COLUMN …), {OR}"
        )));
    }
    // A column that a later version added is added here, too (`Bookkeeping::begin`).
    let lacking = own.and_then(|own| {
        own.iter().find(|column| !columns.contains(*column) && !LATER.contains(&column.as_str()))
    });
    match lacking {
        Some(column) => Err(Refusal::Foreign(format!(
            "the table {name:?} lacks the column {column:?}: another program made it; remove the table, {OR}"
        ))),
        None => Ok(()),
    }
}

/// Returns the columns of each bookkeeping table, from the statements that create them.
fn own_columns() -> rusqlite::Result<BTreeMap<String, BTreeSet<String>>> {
    let scratch = Connection::open_in_memory()?;
    SCHEMA.iter().chain([&copied::SCHEMA]).try_for_each(|create| scratch.execute_batch(create))?;
    let sql =
        "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'";
    let mut statement = scratch.prepare(sql)?;
    let mut known = BTreeMap::<String, BTreeSet<String>>::new();
    for pair in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))? {
        let (table, column) = pair?;
        known.entry(table).or_default().insert(column);
    }
    Ok(known)
}

fn is_ours(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with(TABLE_PREFIX) || name.starts_with(OWN)
}
