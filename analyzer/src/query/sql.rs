//! Parts of SQL statements. Identifiers come from the schema and from the file's list of tables, and are quoted; values
//! are always bound as parameters.

use model::schema::{Column, ColumnKind};
use rusqlite::types::Value;

use crate::store::{Searched, UTC_OF, quote};
use crate::{Store, Table};

/// The thing that a name in a query stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// The tracer a row is stored under.
    Tracer,
    /// The collector that wrote a row.
    CollectorId,
    /// The file that a row is in, in the order of files.
    File,
    /// The number of a row in its table.
    Id,
    /// A column of the table.
    Column { name: &'static str, kind: ColumnKind },
    /// A field of `extended`, as JSON paths; the first path that finds a value is used.
    Field { paths: Vec<String> },
}

impl Target {
    /// Returns the time of a row, which rows are ordered and selected by.
    pub(crate) fn time() -> Self {
        Self::of(Column::Time)
    }

    /// Returns where a column of a row is read.
    pub(crate) fn of(column: Column) -> Self {
        if column == Column::Tracer {
            return Self::Tracer;
        }
        Self::Column { name: column.name(), kind: column.kind() }
    }
}

/// Parameters collected while the text of a statement is composed.
#[derive(Debug, Default)]
pub(crate) struct Sql {
    params: Vec<Value>,
}

/// True if some row of a table with the column `time` has none: another writer made it, or a version before, and it is not
/// migrated yet.
pub(crate) fn lacks_times(store: &Store, table: &Table) -> rusqlite::Result<bool> {
    if table.stream.is_some() {
        // In a columnar store every row has one.
        return Ok(false);
    }
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE time IS NULL)", table.from());
    store.connection().query_row(&sql, (), |row| row.get(0))
}

impl Sql {
    /// Adds a parameter with this value; returns its placeholder.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("?{}", self.params.len())
    }

    pub(crate) fn params(&self) -> &[Value] {
        &self.params
    }

    pub(crate) fn into_params(self) -> Vec<Value> {
        self.params
    }

    /// Returns SQL for the value of a target, as it is compared and ordered.
    pub(crate) fn value(&mut self, table: &Table, target: &Target) -> String {
        match target {
            Target::Tracer => self.bind(table.tracer.clone()),
            Target::CollectorId => self.bind(table.collector_id.clone()),
            Target::File => self.bind(table.file as i64),
            Target::Id => column(table, "id"),
            Target::Column { kind: ColumnKind::Time, name } if !table.has(name) => self.time_of_dt(table),
            Target::Column { name, .. } => column(table, name),
            Target::Field { paths } => {
                self.json(table, paths, |path| format!("json_extract(extended, {path})"))
            }
        }
    }

    /// Returns a condition in SQL by which a columnar store finds the rows whose path or field of this name has one of these values.
    /// The condition is also true for some other rows. `None` if the store can't find rows by such values.
    pub(crate) fn sought(&mut self, table: &Table, name: &str, values: Vec<Value>) -> Option<String> {
        table.stream?;
        let searched = Searched::named(name)?;
        if values.is_empty() || !values.iter().all(|value| searched.is_by(value)) {
            return None;
        }
        let values: Vec<_> = values.into_iter().map(|value| self.bind(value)).collect();
        Some(format!("{} IN ({})", quote(&searched.column()), values.join(", ")))
    }

    /// Returns SQL for the time of rows that have only local time.
    fn time_of_dt(&mut self, table: &Table) -> String {
        if !table.has("dt") {
            return "NULL".to_owned();
        }
        format!("{UTC_OF}({}, {})", quote("dt"), self.bind(table.collector_id.clone()))
    }

    /// Returns SQL for a target as it is shown: fields as JSON, so that lists and objects keep their types.
    pub(crate) fn shown(&mut self, table: &Table, target: &Target) -> String {
        match target {
            Target::Field { paths } => self.json(table, paths, |path| format!("extended -> {path}")),
            other => self.value(table, other),
        }
    }

    /// Returns SQL for the JSON type of a field, which is null if the row lacks the field.
    pub(crate) fn field_type(&mut self, table: &Table, target: &Target) -> String {
        match target {
            Target::Field { paths } => self.json(table, paths, |path| format!("json_type(extended, {path})")),
            other => self.value(table, other),
        }
    }

    /// Returns SQL that reads a field by the first path that finds one. Text that is not JSON has no fields; Python's bare
    /// `NaN` is accepted.
    fn json(&mut self, table: &Table, paths: &[String], read: impl Fn(&str) -> String) -> String {
        if !table.has("extended") {
            return "NULL".to_owned();
        }
        let mut reads: Vec<String> = paths.iter().map(|path| read(&self.bind(path.clone()))).collect();
        let read = if reads.len() == 1 { reads.remove(0) } else { format!("coalesce({})", reads.join(", ")) };
        format!("CASE WHEN json_valid(extended, 2) THEN {read} END")
    }
}

fn column(table: &Table, name: &str) -> String {
    if table.has(name) { quote(name) } else { "NULL".to_owned() }
}
