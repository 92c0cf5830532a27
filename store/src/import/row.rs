//! Rows of duetector's layout become rows as they were before they were written.

use model::schema::{Column, ColumnSlot};
use model::{Details, ExecId, Extended, LocalTimes, Text, Tracking, WallTime, ZonedTime};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde_json::{Map, Value};

use super::table::Table;
use crate::rows::zoned;

/// Name of the field that has an `extended` which is not an object.
const UNREADABLE: &str = "_unreadable";

/// Returns the row, or why it can't be one: its time is none, or it has values of other types than its columns.
pub(super) fn tracking(table: &Table, row: &Row<'_>, times: &LocalTimes) -> Result<Tracking, String> {
    let cell = |index: usize| row.get_ref(index + 1).map_err(|cause| cause.to_string());
    let find = |column| table.columns.iter().position(|known| *known == column);
    let fields = find(Column::Extended).map(cell).transpose()?.map_or_else(Map::new, fields);
    let mut tracking =
        Tracking::new(table.tracer.clone(), WallTime(0), Extended::new(Details::Fields(fields)));
    tracking.dt = None;
    for (index, column) in table.columns.iter().enumerate() {
        let value = cell(index)?;
        if !matches!(column, Column::Dt | Column::Time | Column::Extended) && value != ValueRef::Null {
            set(tracking.slot(*column), value)
                .ok_or_else(|| format!("column {} has {}", column.name(), kind(value)))?;
        }
    }
    let dt = find(Column::Dt).map(cell).transpose()?.and_then(text);
    let time = match find(Column::Time).map(cell).transpose()? {
        Some(ValueRef::Integer(at)) => Some(at),
        _ => dt.as_deref().and_then(|dt| times.utc_ns(&table.collector_id, dt)),
    };
    let Some(time) = time else {
        // Nothing is said against a row without any; it comes first, as in its table.
        return if dt.is_none() { Ok(tracking) } else { Err("its dt is no time".to_owned()) };
    };
    // Other writers may have another form of text.
    let local = dt.as_deref().and_then(WallTime::parse);
    let time = local.map_or_else(|| ZonedTime::new(time, times.zone()), |local| zoned(time, local));
    (tracking.time, tracking.dt) = (Some(time), Some(local.unwrap_or_else(|| time.wall())));
    Ok(tracking)
}

/// Puts a value into a column of a row; `None` if it has another type.
fn set(slot: ColumnSlot<'_>, value: ValueRef<'_>) -> Option<()> {
    match slot {
        ColumnSlot::Int(slot) => *slot = Some(value.as_i64().ok()?),
        ColumnSlot::Text(slot) => *slot = Some(text(value)?.as_str().into()),
        ColumnSlot::Shared(slot) => *slot = Some(text(value)?.into()),
        ColumnSlot::ExecId(slot) => {
            let text = text(value)?;
            let (pid, start_ns) = text.split_once('-')?;
            *slot = Some(ExecId { pid: pid.parse().ok()?, start_ns: start_ns.parse().ok()? });
        }
        ColumnSlot::Time(_) | ColumnSlot::Zoned(_) | ColumnSlot::Fixed => {}
    }
    Some(())
}

/// Returns a text as it is shown, with escapes for bytes that are not UTF-8; `None` for other types.
fn text(value: ValueRef<'_>) -> Option<String> {
    value.as_bytes_or_null().ok().flatten().map(|bytes| Text::from_bytes(bytes).to_str().into_owned())
}

fn fields(extended: ValueRef<'_>) -> Map<String, Value> {
    let Ok(Some(bytes)) = extended.as_bytes_or_null() else { return Map::new() };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => fields,
        _ => {
            let text = Text::from_bytes(bytes).to_str().into_owned();
            Map::from_iter([(UNREADABLE.to_owned(), text.into())])
        }
    }
}

fn kind(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "no value",
        ValueRef::Integer(_) => "a whole number",
        ValueRef::Real(_) => "a real number",
        ValueRef::Text(_) => "another text",
        ValueRef::Blob(_) => "bytes",
    }
}
