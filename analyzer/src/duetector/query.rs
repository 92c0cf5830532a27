//! The query of duetector's analyzer: rows of each table by itself, so that `start` and `limit` count in each table.

use model::ZonedTime;
use rusqlite::params_from_iter;
use rusqlite::types::Value as Sql;
use serde_json::Value;

use super::row::Tracking;
use crate::error::{nearest, reading};
use crate::store::quote;
use crate::{Error, Store, Table};

/// The columns that duetector's tables have, in order.
const COLUMNS: [&str; 8] = ["pid", "uid", "gid", "dt", "comm", "cwd", "fname", "extended"];
/// The column by which rows can only be selected and ordered.
const ID: &str = "id";

/// A query as duetector's analyzer takes it. An empty list selects all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackingQuery {
    /// Only rows of these tracers.
    pub tracers: Vec<String>,
    /// Only rows that these collectors wrote.
    pub collector_ids: Vec<String>,
    /// Only rows with this `dt` or a later one: local time, as the column has it.
    pub since: Option<String>,
    /// Only rows with this `dt` or an earlier one.
    pub until: Option<String>,
    /// Rows that are skipped in each table.
    pub start: i64,
    /// Most rows of each table; 0 or less: all.
    pub limit: i64,
    /// The columns that are read.
    pub columns: Vec<String>,
    /// Columns that have to be equal to a value, or null.
    pub wheres: Vec<(String, Value)>,
    /// Returns rows of a table that are equal in all columns read only once.
    pub distinct: bool,
    /// Columns to order by.
    pub ascending: Vec<String>,
    /// Columns to order by afterwards, the greatest first.
    pub descending: Vec<String>,
}

/// Returns whether a name is no column of duetector's, with the column that is most like it.
pub fn unknown_column(name: &str) -> Option<Option<String>> {
    let known = || COLUMNS.into_iter().chain([ID]);
    (!known().any(|column| column == name)).then(|| nearest(name, known()))
}

impl TrackingQuery {
    /// Hands the rows to `each`, table by table.
    ///
    /// # Errors
    /// A column is unknown, the store can't be read, or `each` fails.
    pub fn run<E: From<Error>>(
        &self,
        store: &Store,
        mut each: impl FnMut(Tracking) -> Result<(), E>,
    ) -> Result<(), E> {
        let named = self.columns.iter().chain(self.wheres.iter().map(|(name, _)| name));
        for name in named.chain(&self.ascending).chain(&self.descending) {
            if let Some(nearest) = unknown_column(name) {
                return Err(Error::UnknownColumn { name: name.clone(), nearest }.into());
            }
        }
        let columns: Vec<String> = match self.columns.as_slice() {
            [] => COLUMNS.map(str::to_owned).to_vec(),
            columns => columns.to_vec(),
        };
        for table in store.tables()?.iter().filter(|table| self.concerns(table)) {
            let (text, params) = self.statement(table, &columns);
            let connection = store.connection();
            let mut statement = connection.prepare(&text).map_err(reading("preparing a query"))?;
            let mut rows = statement.query(params_from_iter(params)).map_err(reading("rows"))?;
            while let Some(row) = rows.next().map_err(reading("rows"))? {
                each(Tracking::read(store, &table.tracer, &columns, row).map_err(reading("a row"))?)?;
            }
        }
        Ok(())
    }

    fn concerns(&self, table: &Table) -> bool {
        let is_in = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        is_in(&self.tracers, &table.tracer) && is_in(&self.collector_ids, &table.collector_id)
    }

    fn statement(&self, table: &Table, columns: &[String]) -> (String, Vec<Sql>) {
        let column = |name: &String| if table.has(name) { quote(name) } else { "NULL".to_owned() };
        let (mut tests, mut params) = (Vec::new(), Vec::new());
        if !table.shown.is_empty() {
            tests.push(table.shown.clone());
        }
        let mut bind = |value: Sql| {
            params.push(value);
            format!("?{}", params.len())
        };
        for (since, test) in [(&self.since, ">="), (&self.until, "<=")] {
            if let Some(dt) = since {
                tests.push(format!("{} {test} {}", quote("dt"), bind(dt.clone().into())));
                // Leaves out whole batches of a columnar store: no zone is further away than this from another one.
                if let Some(time) = table.stream.and_then(|_| near(dt, test)) {
                    tests.push(format!("time {test} {}", bind(time.into())));
                }
            }
        }
        for (name, value) in &self.wheres {
            match sql(value) {
                Sql::Null => tests.push(format!("{} IS NULL", column(name))),
                value => tests.push(format!("{} = {}", column(name), bind(value))),
            }
        }
        let order = self.ascending.iter().map(|name| format!("{} ASC", column(name)));
        let order = order.chain(self.descending.iter().map(|name| format!("{} DESC", column(name))));
        let order = order.collect::<Vec<_>>().join(", ");
        let limit = if self.limit <= 0 { -1 } else { self.limit };
        let (limit, start) = (bind(limit.into()), bind(self.start.max(0).into()));
        let part = |word: &str, text: String| if text.is_empty() { text } else { format!(" {word} {text}") };
        let text = format!(
            "SELECT {}{} FROM {}{}{} LIMIT {limit} OFFSET {start}",
            if self.distinct { "DISTINCT " } else { "" },
            columns.iter().map(column).collect::<Vec<_>>().join(", "),
            table.from(),
            part("WHERE", tests.join(" AND ")),
            part("ORDER BY", order),
        );
        (text, params)
    }
}

/// Returns a time that no row with this `dt` is before (`>=`) or after, in nanoseconds.
fn near(dt: &str, test: &str) -> Option<i64> {
    const SLACK: i64 = 27 * 3600 * 1_000_000_000;
    let utc = ZonedTime::parse(&format!("{}Z", dt.replacen(' ', "T", 1)))?.utc_ns;
    Some(if test == ">=" { utc.saturating_sub(SLACK) } else { utc.saturating_add(SLACK) })
}

/// Returns a value as SQLite compares it with a column. Objects are compared by their text, as duetector writes it.
fn sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(is_true) => Sql::Integer((*is_true).into()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Sql::Integer(whole),
            None => Sql::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Sql::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Sql::Text(value.to_string()),
    }
}
