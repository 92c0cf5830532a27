//! Answers: a stream of rows, with one row in memory at a time.

use model::ZonedTime;
use model::schema::ColumnKind;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Statement, params_from_iter};
use serde::{Serialize, Serializer};
use serde_json::Map;

use crate::error::reading;
use crate::query::{Matching, Tally, Undecided};
use crate::sql::{Meter, Watch};
use crate::{Error, Store};

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Name of the column, as the query gave it.
    pub name: String,
    /// Type of the cells.
    pub kind: ColumnKind,
    /// Type that a table declares for the column, in SQL; `None` for expressions, and for queries that are not SQL.
    pub declared: Option<String>,
}

/// A query that was checked and compiled to a statement, which can be run any number of times.
pub struct Answer<'a> {
    store: &'a Store,
    statement: Option<Statement<'a>>,
    params: Vec<Value>,
    shown: Vec<Shown>,
    matching: Vec<Matching>,
    tally: Tally,
    /// Only of a statement that a user wrote.
    watch: Option<&'a Watch>,
}

impl<'a> Answer<'a> {
    /// Prepares a statement that a user wrote. The type of each value is that of SQL.
    pub(crate) fn of_sql(store: &'a Store, watch: &'a Watch, text: &str) -> rusqlite::Result<Self> {
        let statement = store.connection().prepare(text)?;
        let mut shown = Vec::<Shown>::new();
        for column in statement.columns() {
            let declared = column.decl_type().map(str::to_owned);
            let is_number = declared.as_deref() == Some("INTEGER");
            let kind = if is_number { ColumnKind::Integer } else { ColumnKind::Text };
            // Objects of JSON have each name once.
            let same = shown.iter().filter(|other| other.name == column.name()).count();
            let name =
                if same == 0 { column.name().to_owned() } else { format!("{}_{}", column.name(), same + 1) };
            shown.push(Shown { name, kind, declared });
        }
        let mut answer = Self::empty(store, shown);
        (answer.statement, answer.watch) = (Some(statement), Some(watch));
        Ok(answer)
    }

    /// Returns whether there is a statement: a text can be empty.
    pub(crate) fn has_statement(&self) -> bool {
        self.statement.as_ref().is_some_and(|statement| statement.expanded_sql().is_some())
    }

    /// Sets the parameters of the statement.
    pub(crate) fn bind(&mut self, params: Vec<Value>) {
        self.params = params;
    }

    pub(crate) fn prepare(
        store: &'a Store,
        sql: &str,
        params: Vec<Value>,
        shown: Vec<Shown>,
        matching: Vec<Matching>,
    ) -> Result<Self, Error> {
        let mut answer = Self::empty(store, shown);
        (answer.matching, answer.params) = (matching, params);
        let connection = store.connection();
        for matching in &answer.matching {
            matching.register(connection, &answer.tally).map_err(reading("preparing an expression"))?;
        }
        answer.statement = Some(connection.prepare(sql).map_err(reading("preparing a query"))?);
        Ok(answer)
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.statement = None;
        self.matching.iter().for_each(|matching| matching.forget(self.store.connection()));
    }
}

impl Answer<'_> {
    /// Returns the columns of each row.
    pub fn columns(&self) -> &[Shown] {
        &self.shown
    }

    /// Returns how many of the rows read so far were left out because an expression had no result for them.
    pub fn undecided(&self) -> Option<Undecided> {
        self.tally.get()
    }

    /// Returns the steps of SQLite's plan, which show whether an index is used.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn explain(&self) -> Result<Vec<String>, Error> {
        let Some(statement) = &self.statement else { return Ok(Vec::new()) };
        let sql = statement.expanded_sql().unwrap_or_default();
        let mut explain = self
            .store
            .connection()
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .map_err(reading("preparing a query"))?;
        let steps = explain.query_map((), |row| row.get("detail")).map_err(reading("a plan"))?;
        steps.collect::<Result<_, _>>().map_err(reading("a plan"))
    }

    /// Runs the statement and returns its rows.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn rows(&mut self) -> Result<Rows<'_>, Error> {
        let watch = self.watch;
        let rows = match &mut self.statement {
            None => None,
            Some(statement) => {
                let rows = statement.query(params_from_iter(self.params.iter()));
                Some(rows.map_err(|cause| explain(self.store, watch, cause))?)
            }
        };
        Ok(Rows { store: self.store, shown: &self.shown, rows, watch })
    }
}

impl<'a> Answer<'a> {
    pub(crate) fn empty(store: &'a Store, shown: Vec<Shown>) -> Self {
        let (matching, tally) = (Vec::new(), Tally::default());
        Self { store, statement: None, params: Vec::new(), shown, matching, tally, watch: None }
    }
}

/// An iterator that reads each row when it is asked for.
pub struct Rows<'a> {
    store: &'a Store,
    shown: &'a [Shown],
    rows: Option<rusqlite::Rows<'a>>,
    watch: Option<&'a Watch>,
}

fn explain(store: &Store, watch: Option<&Watch>, cause: rusqlite::Error) -> Error {
    match watch {
        Some(watch) => watch.explain(cause),
        None if store.meter().is_some_and(Meter::is_stopped) => Error::Stopped,
        None => reading("rows")(cause),
    }
}

/// Goes on to the next row. The time that it takes counts, if it is limited.
fn step<'a, 'b>(
    watch: Option<&Watch>,
    rows: &'b mut rusqlite::Rows<'a>,
) -> rusqlite::Result<Option<&'b rusqlite::Row<'a>>> {
    match watch {
        Some(watch) => watch.meter().run(|| rows.next()),
        None => rows.next(),
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let stepped = step(self.watch, self.rows.as_mut()?);
        let counted = match (&stepped, self.store.meter()) {
            (Ok(Some(_)), Some(meter)) => meter.reads(1),
            _ => Ok(()),
        };
        match counted.and(stepped) {
            Ok(Some(row)) => {
                let cells = self.shown.iter().enumerate();
                let cells = cells.map(|(index, shown)| {
                    Ok(match (self.watch, row.get_ref(index)?) {
                        (Some(_), ValueRef::Blob(bytes)) => Cell::Bytes(bytes.to_vec()),
                        (_, value) => cell(self.store, shown.kind, value),
                    })
                });
                Some(
                    cells
                        .collect::<rusqlite::Result<_>>()
                        .map(|cells| Row { cells })
                        .map_err(reading("a row")),
                )
            }
            Ok(None) => None,
            Err(error) => {
                // A further step after a failure would run the statement from its start.
                self.rows = None;
                Some(Err(explain(self.store, self.watch, error)))
            }
        }
    }
}

fn cell(store: &Store, kind: ColumnKind, value: ValueRef<'_>) -> Cell {
    match (kind, value) {
        (_, ValueRef::Null) => Cell::Null,
        (ColumnKind::Json, ValueRef::Text(text) | ValueRef::Blob(text)) => Cell::Json(json(store, text)),
        (ColumnKind::Time, ValueRef::Integer(ns)) => Cell::Time(ZonedTime::new(ns, store.zone())),
        (_, ValueRef::Integer(number)) => Cell::Integer(number),
        (_, ValueRef::Real(number)) => Cell::Real(number),
        (_, ValueRef::Text(text) | ValueRef::Blob(text)) => {
            Cell::Text(model::Text::from_bytes(text).to_str().into_owned())
        }
    }
}

/// Parses JSON. Any other text becomes an object with one field, `_unreadable`.
pub(crate) fn json(store: &Store, bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).ok().or_else(|| lenient_json(store, bytes)).unwrap_or_else(|| {
        let text = model::Text::from_bytes(bytes).to_str().into_owned();
        serde_json::Value::Object(Map::from_iter([("_unreadable".to_owned(), text.into())]))
    })
}

/// Parses what Python's json module writes: it contains bare `NaN`, which SQLite reads as null.
fn lenient_json(store: &Store, bytes: &[u8]) -> Option<serde_json::Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    let strict: String = store.connection().query_row("SELECT json(?1)", [text], |row| row.get(0)).ok()?;
    serde_json::from_str(&strict).ok()
}

/// A row with a cell for each column of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Cells in the order of [`Answer::columns`].
    pub cells: Vec<Cell>,
}

/// The value of one column in one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A null, or a column that the table lacks.
    Null,
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A point in time, with the offset of this machine's zone.
    Time(ZonedTime),
    /// Text; bytes that are not UTF-8 are written as `\xNN`.
    Text(String),
    /// A BLOB, in an answer to SQL. The text formats print it in hex, as `extended` has `<name>_bytes`.
    Bytes(Vec<u8>),
    /// `extended`, or a field of it.
    Json(serde_json::Value),
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Time(at) => at.serialize(serializer),
            Self::Real(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&model::text::hex(bytes)),
            Self::Json(value) => value.serialize(serializer),
        }
    }
}
