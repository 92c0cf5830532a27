//! Tables with rows of a file of duetector's layout.

use model::TracerName;
use model::schema::{COLUMNS, Column, parse_table_name};
use rusqlite::Connection;

use super::bookkeeping;

/// A table of the file.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) tracer: TracerName,
    pub(super) collector_id: String,
    /// The columns that are read, in the order of the statement.
    pub(super) columns: Vec<Column>,
    /// Rows that an additional output of this store's agent wrote: the store has them.
    pub(super) copied: Vec<(i64, i64)>,
}

impl Table {
    pub(super) fn of(file: &Connection, store: &Connection, name: String) -> rusqlite::Result<Self> {
        let mut present = file.prepare("SELECT lower(name) FROM pragma_table_info(?)")?;
        let present = present.query_map([&name], |row| row.get(0))?;
        let present = present.collect::<rusqlite::Result<Vec<String>>>()?;
        let is_there = |column: &&Column| present.iter().any(|name| name == column.name());
        let columns = COLUMNS.iter().filter(is_there).copied().collect();
        let (tracer, collector_id) = parse_table_name(&name).unwrap_or_default();
        let (tracer, collector_id) = (TracerName::new(tracer), collector_id.to_owned());
        let copied = bookkeeping::copied(file, store, &name)?;
        Ok(Self { name, tracer, collector_id, columns, copied })
    }

    /// Returns the statement that reads a piece: the id, then the columns.
    pub(super) fn statement(&self) -> String {
        let columns = self.columns.iter().map(|column| match column {
            // Python's bare `NaN` is read as SQLite reads it.
            Column::Extended => "CASE WHEN json_valid(extended) THEN extended WHEN json_valid(extended, 2)
                                 THEN json(extended) ELSE extended END"
                .to_owned(),
            other => quote(other.name()),
        });
        let columns: Vec<String> = std::iter::once("id".to_owned()).chain(columns).collect();
        format!("SELECT {} FROM {} WHERE id > ? ORDER BY id LIMIT ?", columns.join(", "), quote(&self.name))
    }
}

/// Returns the names of the tables with rows.
pub(super) fn tables(file: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names = file.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")?;
    let names = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(names.into_iter().filter(|name| parse_table_name(name).is_some()).collect())
}

pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
