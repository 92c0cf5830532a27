//! Lists of the tables and of their columns, as answers like any other.

use rusqlite::types::Value;

use super::Sql;
use crate::Error;
use crate::error::{nearest, reading};
use crate::rows::Answer;

impl Sql {
    /// Returns the tables and views: name, kind, whether there are rows, and what the rows are.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn tables(&self) -> Result<Answer<'_>, Error> {
        let rows = self.described.iter().map(|table| {
            let kind = if table.tracer.is_some() { "table" } else { "view" };
            let has_rows = if table.has_rows { "yes" } else { "no" };
            [table.name.clone(), kind.to_owned(), has_rows.to_owned(), table.about.clone()]
        });
        self.list(["name", "kind", "rows", "about"], rows)
    }

    /// Returns the columns of a table or view: name, type and what the values are.
    ///
    /// # Errors
    /// There is no such table, or the store can't be read.
    pub fn describe(&self, name: &str) -> Result<Answer<'_>, Error> {
        let found = self.described.iter().find(|table| table.name.eq_ignore_ascii_case(name));
        let table = found.ok_or_else(|| Error::Statement {
            cause: format!("no such table: {name}"),
            mark: String::new(),
            nearest: nearest(name, self.described.iter().map(|table| table.name.as_str())),
        })?;
        let columns = table.columns.iter().map(|(name, kind, about)| [name, kind, about].map(Clone::clone));
        self.list(["column", "type", "about"], columns)
    }

    /// Returns an answer that has these rows.
    fn list<const COLUMNS: usize>(
        &self,
        names: [&str; COLUMNS],
        rows: impl Iterator<Item = [String; COLUMNS]>,
    ) -> Result<Answer<'_>, Error> {
        let values: Vec<Value> = rows.flatten().map(Value::Text).collect();
        let row = format!("({})", ["?"; COLUMNS].join(", "));
        let all = vec![row; values.len() / COLUMNS].join(", ");
        let named =
            names.iter().enumerate().map(|(index, name)| format!("column{} AS \"{name}\"", index + 1));
        let sql = format!("SELECT {} FROM (VALUES {all})", named.collect::<Vec<_>>().join(", "));
        let mut answer = Answer::of_sql(&self.store, &self.watch, &sql).map_err(reading("list of tables"))?;
        answer.bind(values);
        Ok(answer)
    }
}
