//! Pieces of SQL. Identifiers come from the schema and the file's own table list and are quoted; values are
//! only ever bound.

use rusqlite::types::Value;

use super::columns::Target;
use crate::Table;

/// Parameters gathered while a statement's text is put together.
#[derive(Debug, Default)]
pub(crate) struct Sql {
    params: Vec<Value>,
}

/// An identifier in quotes.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

impl Sql {
    /// A place for `value`.
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

    /// A target's value: what it is compared with and ordered by.
    pub(crate) fn value(&mut self, table: &Table, target: &Target) -> String {
        match target {
            Target::Tracer => self.bind(table.tracer.clone()),
            Target::CollectorId => self.bind(table.collector_id.clone()),
            Target::Id => column(table, "id"),
            Target::Column { name, .. } => column(table, name),
            Target::Field { paths } => {
                self.json(table, paths, |path| format!("json_extract(extended, {path})"))
            }
        }
    }

    /// A target as it is shown: fields as JSON, so that lists and objects stay what they are.
    pub(crate) fn shown(&mut self, table: &Table, target: &Target) -> String {
        match target {
            Target::Field { paths } => self.json(table, paths, |path| format!("extended -> {path}")),
            other => self.value(table, other),
        }
    }

    /// The JSON type of a field: null where there is none.
    pub(crate) fn field_type(&mut self, table: &Table, target: &Target) -> String {
        match target {
            Target::Field { paths } => self.json(table, paths, |path| format!("json_type(extended, {path})")),
            other => self.value(table, other),
        }
    }

    /// Python writes bare `NaN`, and anybody may have written anything: what is no JSON has no fields.
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
