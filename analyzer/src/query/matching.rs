//! Expressions (CEL) in a query. Each becomes a scalar function of SQLite that is called in the WHERE clause, so that
//! SQLite still does ordering, limits and distinct rows, and no rows are held here. Parts of an expression that test a
//! single column are written as SQL before the call, so that SQLite calls the function for few rows:
//!
//! ```text
//! uid == 0 && fname.endsWith(".csv")   ─►   "uid" = ?1 AND duetector_matches_7("uid", "fname")
//! ```

use std::cell::OnceCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use expression::{
    Conjunct, EvalError, Expression, Literal, Relation, Source, Subject, Test, Value, is_path, path_of,
};
use model::lock::lock;
use model::schema::{Column, ColumnKind};
use model::{Text, WallTime};
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value as SqlValue, ValueRef};
use serde_json::Map;

use super::sql::Sql;
use super::sql::Target;
use crate::Table;
use crate::store::{DOUBTFUL, IN_DOUBT};

/// Numbers the functions, because a connection may have several at once.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Rows that are left out because an expression had no result for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Number of such rows.
    pub rows: u64,
    /// The error of the first such row.
    pub first: EvalError,
}

/// Counts such rows while an answer is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Option<Undecided>>>);

impl Tally {
    fn add(&self, cause: EvalError) {
        let mut tally = lock(&self.0);
        let before = tally.unwrap_or(Undecided { rows: 0, first: cause });
        *tally = Some(Undecided { rows: before.rows + 1, ..before });
    }

    pub(crate) fn get(&self) -> Option<Undecided> {
        *lock(&self.0)
    }
}

/// An expression as part of one statement.
#[derive(Debug)]
pub(crate) struct Matching {
    function: String,
    columns: Vec<Column>,
    /// True if the expression reads fields of `extended`.
    fields: bool,
    /// True if it reads a path, of which fields say whether it is in doubt.
    paths: bool,
    conjuncts: Vec<Conjunct>,
    expression: Expression,
}

impl Matching {
    pub(crate) fn new(expression: &Expression, narrow: bool) -> Self {
        let columns = Column::ALL.iter().copied();
        let columns: Vec<Column> =
            columns.filter(|column| expression.fields().any(|name| name == column.name())).collect();
        let fields = expression.reads_any_field() || expression.fields().count() > columns.len();
        let paths = columns.iter().any(|column| is_path(column.name()));
        Self {
            function: format!("duetector_matches_{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            columns,
            fields,
            paths,
            conjuncts: if narrow { expression.conjuncts() } else { Vec::new() },
            expression: expression.clone(),
        }
    }

    /// Returns the condition in SQL. Tests of single columns come first, because SQLite evaluates from left to right.
    pub(crate) fn condition(&self, table: &Table, sql: &mut Sql) -> String {
        let mut parts: Vec<String> =
            self.conjuncts.iter().filter_map(|conjunct| narrowed(table, conjunct, sql)).collect();
        let mut arguments: Vec<String> =
            self.columns.iter().map(|column| sql.value(table, &Target::of(*column))).collect();
        if self.fields {
            arguments.push(json_of(table));
        } else if self.paths {
            arguments.push(match table.stream {
                // No JSON is made for other rows.
                Some(_) => DOUBTFUL.to_owned(),
                None => format!("CASE WHEN {} THEN {} END", in_doubt(table), json_of(table)),
            });
        }
        parts.push(format!("{}({})", self.function, arguments.join(", ")));
        parts.join(" AND ")
    }

    /// Registers the function with the connection.
    pub(crate) fn register(&self, connection: &Connection, tally: &Tally) -> rusqlite::Result<()> {
        let (expression, columns, tally) = (self.expression.clone(), self.columns.clone(), tally.clone());
        let fields = (self.fields || self.paths).then_some(columns.len());
        let arguments = self.arguments();
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        let answer = move |context: &Context<'_>| {
            let row = Cells { context, columns: &columns, fields, extended: OnceCell::new() };
            Ok(expression.matches(&row).unwrap_or_else(|cause| {
                tally.add(cause);
                false
            }))
        };
        connection.create_scalar_function(&*self.function, arguments as i32, flags, answer)
    }

    /// Returns the number of the function's arguments.
    fn arguments(&self) -> usize {
        self.columns.len() + usize::from(self.fields || self.paths)
    }

    /// Removes the function again; no statement may use it any more.
    pub(crate) fn forget(&self, connection: &Connection) {
        let arguments = self.arguments();
        // If this fails, the function stays until the store is closed; it is never called.
        let _ = connection.remove_function(&*self.function, arguments as i32);
    }
}

/// Returns SQL that is true for rows with a path that may be in doubt.
fn in_doubt(table: &Table) -> &'static str {
    if table.stream.is_some() {
        // No JSON is made for it.
        return IN_DOUBT;
    }
    if !table.has("extended") {
        return "FALSE";
    }
    "instr(extended, '\"path_incomplete\"')"
}

/// Returns SQL for `extended` as strict JSON. SQLite's reader accepts more, such as Python's bare `NaN`.
fn json_of(table: &Table) -> String {
    if !table.has("extended") {
        return "NULL".to_owned();
    }
    "CASE WHEN json_valid(extended, 2) AND NOT json_valid(extended) THEN json(extended) ELSE extended END"
        .to_owned()
}

/// The arguments of one call of the function: the cells of a row.
struct Cells<'a> {
    context: &'a Context<'a>,
    columns: &'a [Column],
    fields: Option<usize>,
    extended: OnceCell<Option<Map<String, serde_json::Value>>>,
}

impl Source for Cells<'_> {
    /// Returns a cell; null if its type is not the column's, which happens only in files of other writers.
    fn column(&self, column: Column) -> Value<'_> {
        path_of(column.name(), self.cell(column), || self.doubts())
    }

    fn field(&self, name: &str) -> Value<'_> {
        path_of(name, self.member(name), || self.doubts())
    }
}

impl Cells<'_> {
    fn cell(&self, column: Column) -> Value<'_> {
        let Some(index) = self.columns.iter().position(|known| *known == column) else { return Value::Null };
        match (column.kind(), self.context.get_raw(index)) {
            (ColumnKind::Integer, ValueRef::Integer(number)) => Value::Int(number),
            (ColumnKind::Integer, ValueRef::Real(number)) => Value::Double(number),
            (ColumnKind::Text, ValueRef::Text(text)) => match std::str::from_utf8(text) {
                Ok(text) => Value::Text(text.into()),
                Err(_) => Value::Text(Text::from_bytes(text).to_str().into_owned().into()),
            },
            (ColumnKind::Time, ValueRef::Integer(ns)) => Value::Time(crate::when::local(ns.div_euclid(1000))),
            (ColumnKind::DateTime, ValueRef::Text(text)) => {
                std::str::from_utf8(text).ok().and_then(WallTime::parse).map_or(Value::Null, Value::Time)
            }
            _ => Value::Null,
        }
    }

    /// Returns whether a path of the row is incomplete. An unresolved one is a whole text, as it is shown: that is what a query
    /// asks for.
    fn doubts(&self) -> (bool, bool) {
        (self.member("path_incomplete") == Value::Bool(true), false)
    }

    fn member(&self, name: &str) -> Value<'_> {
        let read = || match self.context.get_raw(self.fields?) {
            ValueRef::Text(text) | ValueRef::Blob(text) => serde_json::from_slice(text).ok(),
            _ => None,
        };
        let extended = self.extended.get_or_init(read).as_ref();
        extended.and_then(|extended| extended.get(name)).map_or(Value::Null, Value::from)
    }
}

/// Returns SQL that is true at least wherever the conjunct is or has no answer; `None` if there is no such SQL.
fn narrowed(table: &Table, conjunct: &Conjunct, sql: &mut Sql) -> Option<String> {
    let column = match &conjunct.of {
        Subject::Field(name) => return sought(table, name, &conjunct.test, sql),
        Subject::Column(column) => *column,
    };
    if !is_path(column.name()) {
        return of_column(table, column, &conjunct.test, sql);
    }
    sought(table, column.name(), &conjunct.test, sql).or_else(|| {
        let test = of_column(table, column, &conjunct.test, sql)?;
        Some(format!("({test} OR {})", in_doubt(table)))
    })
}

/// Returns a condition in SQL by which the store finds the rows whose path or field has one of some values.
fn sought(table: &Table, name: &str, test: &Test, sql: &mut Sql) -> Option<String> {
    let literals = match test {
        Test::Compare(Relation::Equal, literal) => std::slice::from_ref(literal),
        Test::In(literals) => literals.as_slice(),
        _ => return None,
    };
    let values: Option<Vec<SqlValue>> = literals.iter().map(bound).collect();
    sql.sought(table, name, values?)
}

fn of_column(table: &Table, column: Column, test: &Test, sql: &mut Sql) -> Option<String> {
    // Expressions know it as local time.
    if column.kind() == ColumnKind::Time {
        return None;
    }
    let target = Target::of(column);
    let value = sql.value(table, &target);
    match test {
        Test::Compare(relation, literal) => {
            let sign = match relation {
                Relation::Equal => "=",
                // In an expression, null differs from every value.
                Relation::NotEqual => "IS NOT",
                ordered => ordered.sign(),
            };
            // Text that is not UTF-8 is ordered one way as it is stored and another way as it is shown.
            let in_order = matches!(relation, Relation::Equal | Relation::NotEqual);
            if matches!(literal, Literal::Text(_)) && !in_order {
                return None;
            }
            Some(format!("{value} {sign} {}", sql.bind(bound(literal)?)))
        }
        Test::In(literals) => {
            let literals: Option<Vec<SqlValue>> = literals.iter().map(bound).collect();
            let bound: Vec<String> = literals?.into_iter().map(|literal| sql.bind(literal)).collect();
            Some(format!("{value} IN ({})", bound.join(", ")))
        }
        Test::StartsWith(prefix) => {
            let SqlValue::Text(prefix) = bound(&Literal::Text(prefix.clone()))? else { return None };
            let length = i64::try_from(prefix.chars().count()).ok()?;
            Some(format!("substr({value}, 1, {}) = {}", sql.bind(length), sql.bind(prefix)))
        }
    }
}

/// Returns a literal in the form that a column stores; `None` if it can't be compared in that form.
fn bound(literal: &Literal) -> Option<SqlValue> {
    match literal {
        Literal::Int(number) => Some(SqlValue::Integer(*number)),
        Literal::Double(number) if number.is_finite() => Some(SqlValue::Real(*number)),
        // `\x` escapes stand for bytes that are not UTF-8; other writers store the bytes themselves.
        Literal::Text(text) if !text.contains("\\x") && !text.contains('\0') => {
            Some(SqlValue::Text(text.as_ref().into()))
        }
        Literal::Time(at) if WallTime::parse(&at.to_text()) == Some(*at) => {
            Some(SqlValue::Text(at.to_text()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expression::Schema;

    use super::*;

    #[test]
    fn tests_of_single_columns_come_before_the_function() {
        let table = Table {
            stream: None,
            file: crate::store::File::Main,
            shown: String::new(),
            name: "duetector_tracking:open@vm".into(),
            tracer: "open".into(),
            collector_id: "vm".into(),
            columns: model::schema::COLUMNS.iter().map(|column| column.name().to_owned()).collect(),
        };
        let cases = [
            ("uid == 0 && 3 < pid", "\"uid\" = ?1 AND \"pid\" > ?2 AND f(\"pid\", \"uid\")"),
            (
                "uid != 0 && fname.startsWith('/d')",
                "\"uid\" IS NOT ?1 AND (substr(\"fname\", 1, ?2) = ?3 OR DOUBT) AND f(\"uid\", \"fname\", CASE WHEN DOUBT THEN JSON END)",
            ),
            ("comm in ['a', 'b', 'c']", "\"comm\" IN (?1, ?2, ?3) AND f(\"comm\")"),
            ("comm < 'b' || uid == 0", "f(\"uid\", \"comm\")"),
            ("comm == '\\\\xff'", "f(\"comm\")"),
            ("container_id == null", "f(\"container_id\")"),
        ];
        for (text, expected) in cases {
            let matching = Matching::new(&Expression::compile(text, &Schema::default()).unwrap(), true);
            let condition = matching.condition(&table, &mut Sql::default());
            let shown = condition.replace(&matching.function, "f").replace(in_doubt(&table), "DOUBT");
            assert_eq!(shown.replace(&json_of(&table), "JSON"), expected, "{text}");
        }
    }
}
