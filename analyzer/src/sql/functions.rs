//! Functions for SQL that SQLite lacks: times, names of users, and the latest of several values.

use jiff::tz::TimeZone;
use model::ZonedTime;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, Result};

use crate::render::names::{group_name, user_name};
use crate::when;

/// Name of the function that makes nanoseconds of a point in time as text.
pub(super) const OF_TEXT: &str = "duetector_ns_of";

/// Adds the functions to a connection.
pub(super) fn register(connection: &Connection, zone: TimeZone) -> Result<()> {
    let stable = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let pure = stable | FunctionFlags::SQLITE_INNOCUOUS;
    let now = when::now();
    connection.create_scalar_function("ns", 1, pure, move |context| {
        let Some(text) = text(context, 0) else { return Ok(None) };
        when::since(text, &now).map(Some).map_err(|error| Error::UserFunctionError(error.into()))
    })?;
    connection.create_scalar_function(OF_TEXT, 1, pure, |context| {
        Ok(text(context, 0).and_then(ZonedTime::parse).map(|at| at.utc_ns))
    })?;
    let local = zone.clone();
    connection.create_scalar_function("local", 1, pure, move |context| {
        Ok(number(context, 0).map(|at| ZonedTime::new(at, &local).to_local_text()))
    })?;
    connection.create_scalar_function("utc", 1, pure, |context| {
        Ok(number(context, 0).map(|at| ZonedTime::new(at, &TimeZone::UTC).to_text()))
    })?;
    // Of this machine: not of the one that the rows are from.
    let id = |context: &Context<'_>| number(context, 0).and_then(|number| u32::try_from(number).ok());
    connection
        .create_scalar_function("user_name", 1, stable, move |context| Ok(id(context).and_then(user_name)))?;
    connection.create_scalar_function("group_name", 1, stable, move |context| {
        Ok(id(context).and_then(group_name))
    })?;
    connection.create_aggregate_function("latest", 2, pure, Latest)
}

fn text<'a>(context: &'a Context<'_>, index: usize) -> Option<&'a str> {
    match context.get_raw(index) {
        ValueRef::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

fn number(context: &Context<'_>, index: usize) -> Option<i64> {
    match context.get_raw(index) {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    }
}

/// `latest(value, time)`: of the values that are not null, the one with the greatest time.
struct Latest;

impl Aggregate<Option<(i64, Value)>, Value> for Latest {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<(i64, Value)>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, latest: &mut Option<(i64, Value)>) -> Result<()> {
        let (value, time) = (context.get_raw(0), number(context, 1).unwrap_or(i64::MIN));
        let is_later = latest.as_ref().is_none_or(|(latest, _)| time >= *latest);
        if is_later && value != ValueRef::Null {
            *latest = Some((time, Value::try_from(value)?));
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, latest: Option<Option<(i64, Value)>>) -> Result<Value> {
        Ok(latest.flatten().map_or(Value::Null, |(_, value)| value))
    }
}
