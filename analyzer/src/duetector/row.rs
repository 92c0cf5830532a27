//! A row with the fields that duetector has.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Store;
use crate::rows::json;

/// A row as duetector's analyzer returns it: all keys are always there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracking {
    /// The tracer that the row is stored under.
    pub tracer: String,
    /// Id of the process.
    pub pid: Value,
    /// Id of the user.
    pub uid: Value,
    /// Id of the group.
    pub gid: Value,
    /// Command name of the process.
    pub comm: Value,
    /// Working folder of the process.
    pub cwd: Value,
    /// Name of the file.
    pub fname: Value,
    /// Local time of the event.
    pub dt: Value,
    /// Everything that has no column.
    pub extended: Value,
}

impl Tracking {
    /// Reads the columns that were selected; the others have duetector's defaults.
    pub(super) fn read(
        store: &Store,
        tracer: &str,
        columns: &[String],
        row: &Row<'_>,
    ) -> rusqlite::Result<Self> {
        let mut tracking = Self {
            tracer: tracer.to_owned(),
            pid: Value::Null,
            uid: Value::Null,
            gid: Value::Null,
            comm: "Unknown".into(),
            cwd: Value::Null,
            fname: Value::Null,
            dt: Value::Null,
            extended: Map::new().into(),
        };
        for (at, column) in columns.iter().enumerate() {
            let value = row.get_ref(at)?;
            match column.as_str() {
                "pid" => tracking.pid = number(value),
                "uid" => tracking.uid = number(value),
                "gid" => tracking.gid = number(value),
                "comm" => tracking.comm = text(value),
                "cwd" => tracking.cwd = text(value),
                "fname" => tracking.fname = text(value),
                "dt" => tracking.dt = iso(value),
                "extended" => tracking.extended = object(store, value),
                // The id is used to select and to order; rows do not have it.
                "id" => {}
                other => return Err(rusqlite::Error::InvalidColumnName(other.to_owned())),
            }
        }
        Ok(tracking)
    }
}

fn number(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            text.trim().parse::<i64>().map_or_else(|_| Value::Null, Value::from)
        }
        _ => Value::Null,
    }
}

fn text(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.to_string().into(),
        ValueRef::Real(number) => number.to_string().into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            model::Text::from_bytes(bytes).to_str().into_owned().into()
        }
    }
}

/// Returns a time in ISO 8601, without a fraction that is zero.
fn iso(value: ValueRef<'_>) -> Value {
    let Value::String(text) = text(value) else { return Value::Null };
    let text = text.strip_suffix(".000000").unwrap_or(&text);
    text.replacen(' ', "T", 1).into()
}

fn object(store: &Store, value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match json(store, bytes) {
            Value::Object(fields) => Value::Object(fields),
            _ => Map::new().into(),
        },
        _ => Map::new().into(),
    }
}
