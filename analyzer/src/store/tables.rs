//! Reads rows of a table of duetector's layout into columns. Fields are in a JSON object there.

use arrow_array::builder::{BooleanBuilder, Int64Builder, ListBuilder, StringBuilder, UInt64Builder};
use model::ZonedTime;
use model::schema::{ArrowType, Column, Field};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::{Map, Value as Json};
use store::typed::Values;
use store::{Condition, Sought};

use super::chunk::{Chunk, Walk};
use super::connect::quote;
use super::sqlite::{Table, UTC_OF};

/// Number of rows that are in memory at a time.
const AT_ONCE: usize = 4096;
/// Number of values up to which SQLite tests whether a column has one of them.
const TESTED: usize = 64;

/// Hands the rows of a table to `each`.
pub(super) fn walk_table(
    connection: &Connection,
    table: &Table,
    walk: Walk<'_>,
    each: &mut dyn FnMut(&Chunk<'_>),
) -> rusqlite::Result<()> {
    let (sql, params) = statement(table, walk);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(params))?;
    let mut columns: Vec<Builder> = walk.columns.iter().map(|name| Builder::of(name)).collect();
    let mut held = 0;
    while let Some(row) = rows.next()? {
        let time = whole(row.get_ref(0)?);
        let selection = walk.selection;
        if time.is_some_and(|time| !(selection.since..=selection.until).contains(&time)) {
            continue;
        }
        add(row, time, walk.columns, &mut columns)?;
        held += 1;
        if held == AT_ONCE {
            each(&chunk(table, &mut columns, held));
            held = 0;
        }
    }
    if held > 0 {
        each(&chunk(table, &mut columns, held));
    }
    Ok(())
}

fn chunk<'a>(table: &'a Table, columns: &mut [Builder], rows: usize) -> Chunk<'a> {
    Chunk::new(&table.collector_id, columns.iter_mut().map(Builder::finish).collect(), rows)
}

/// Returns the statement: it has the time, the fields, and then each column that the table has.
fn statement(table: &Table, walk: Walk<'_>) -> (String, Vec<SqlValue>) {
    let mut params = vec![SqlValue::Text(table.collector_id.clone())];
    let of_dt = if table.has("dt") { format!("{UTC_OF}(dt, ?1)") } else { "nullif(?1, ?1)".to_owned() };
    let time = if table.has("time") { format!("ifnull(time, {of_dt})") } else { of_dt };
    let mut shown = vec![time];
    shown.push(if table.has("extended") { "extended".to_owned() } else { "NULL".to_owned() });
    for name in walk.columns {
        let is_there = Column::named(name).is_some() && *name != Column::Time.name() && table.has(name);
        shown.push(if is_there { quote(name) } else { "NULL".to_owned() });
    }
    let mut tests: Vec<String> =
        Some(table.shown.clone()).filter(|shown| !shown.is_empty()).into_iter().collect();
    if table.has("time") {
        let (since, until) = (walk.selection.since, walk.selection.until);
        tests.push(format!("(time IS NULL OR time BETWEEN {since} AND {until})"));
    }
    for condition in &walk.selection.conditions {
        tests.extend(test(table, condition, &mut params));
    }
    let tests = if tests.is_empty() { String::new() } else { format!("WHERE {}", tests.join(" AND ")) };
    (format!("SELECT {} FROM {} {tests}", shown.join(", "), table.from()), params)
}

/// Returns a condition in SQL, if SQLite can test it on a column.
fn test(table: &Table, condition: &Condition, params: &mut Vec<SqlValue>) -> Option<String> {
    let is_column = Column::named(&condition.column).is_some() && table.has(&condition.column);
    if !is_column || condition.or_has.is_some() || condition.values.len() > TESTED {
        return None;
    }
    let mut holders = Vec::new();
    for value in &condition.values {
        let Sought::Text(text) = value else { return None };
        params.push(SqlValue::Text(text.clone()));
        holders.push(format!("?{}", params.len()));
    }
    Some(format!("{} IN ({})", quote(&condition.column), holders.join(", ")))
}

fn add(row: &Row<'_>, time: Option<i64>, names: &[&str], columns: &mut [Builder]) -> rusqlite::Result<()> {
    let fields = match row.get_ref(1)? {
        ValueRef::Text(text) => serde_json::from_slice::<Map<String, Json>>(text).unwrap_or_default(),
        _ => Map::new(),
    };
    for (index, (name, column)) in names.iter().zip(columns).enumerate() {
        let value = match row.get_ref(index + 2)? {
            _ if *name == Column::Time.name() => time.map(Json::from),
            ValueRef::Integer(number) => Some(Json::from(number)),
            ValueRef::Text(text) => Some(Json::from(String::from_utf8_lossy(text))),
            _ => None,
        };
        column.add(value.as_ref().or_else(|| fields.get(*name)));
    }
    Ok(())
}

fn whole(value: ValueRef<'_>) -> Option<i64> {
    if let ValueRef::Integer(number) = value { Some(number) } else { None }
}

/// The values of a column, as far as they were read.
enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Uint(UInt64Builder),
    Text(StringBuilder),
    Texts(ListBuilder<StringBuilder>),
    /// A point in time.
    Utc(Int64Builder),
    /// A type of values that no question needs.
    None,
}

impl Builder {
    fn of(name: &str) -> Self {
        let kind = Column::named(name).map(|column| column.arrow());
        match kind.or_else(|| Field::named(name).map(|field| field.arrow)) {
            Some(ArrowType::Bool) => Self::Bool(BooleanBuilder::new()),
            Some(ArrowType::UInt64) => Self::Uint(UInt64Builder::new()),
            Some(
                ArrowType::Int32
                | ArrowType::Int64
                | ArrowType::UInt8
                | ArrowType::UInt16
                | ArrowType::UInt32,
            ) => Self::Int(Int64Builder::new()),
            Some(ArrowType::TimestampUtc) => Self::Utc(Int64Builder::new()),
            Some(ArrowType::Utf8) => Self::Text(StringBuilder::new()),
            Some(ArrowType::List(ArrowType::Utf8)) => Self::Texts(ListBuilder::new(StringBuilder::new())),
            _ => Self::None,
        }
    }

    fn add(&mut self, value: Option<&Json>) {
        match self {
            Self::Bool(column) => column.append_option(value.and_then(Json::as_bool)),
            Self::Int(column) => column.append_option(value.and_then(Json::as_i64)),
            Self::Uint(column) => column.append_option(value.and_then(Json::as_u64)),
            Self::Text(column) => column.append_option(value.and_then(Json::as_str)),
            Self::Texts(column) => match value.and_then(Json::as_array) {
                Some(list) => column.append_value(list.iter().map(Json::as_str)),
                None => column.append_null(),
            },
            Self::Utc(column) => column.append_option(value.and_then(|value| {
                value.as_i64().or_else(|| ZonedTime::parse(value.as_str()?).map(|at| at.utc_ns))
            })),
            Self::None => {}
        }
    }

    fn finish(&mut self) -> Values {
        match self {
            Self::Bool(column) => Values::Bool(column.finish()),
            Self::Int(column) | Self::Utc(column) => Values::Int64(column.finish()),
            Self::Uint(column) => Values::UInt64(column.finish()),
            Self::Text(column) => Values::Text(column.finish()),
            Self::Texts(column) => Values::Texts(column.finish()),
            Self::None => Values::Absent,
        }
    }
}
