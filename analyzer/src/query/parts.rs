//! The parts of tables that are arms of a compound SELECT. Most tables have one part. A table has several parts if its rows
//! can't be read in order of the column `time` alone:
//!
//! - Rows of other writers, or of earlier versions, have no `time`. Their `time` is computed from `dt`.
//! - The wall clock was set back. Rows from the change until the clock shows the earlier time again are ordered by the boot
//!   clock, after the rows from before the change:
//!
//! ```text
//! wall clock  … 11:58 11:59 12:00 | 11:30 11:31 … 12:00 12:01 …
//! ordered as  … 11:58 11:59 12:00 | 12:00 12:00 … 12:00 12:01 …   and those of 12:00 by the boot clock
//! ```

use model::schema::Column;

use super::sql::lacks_times;
use crate::store::quote;
use crate::{Store, Table};

/// Table of changes by which the wall clock was set back; written by the SQLite sink.
const SET_BACK: &str = "duetector_actors_clock";
/// Largest number of time spans that are parts of their own; if there are more, all of them are one part.
const SPANS: usize = 3;

pub(super) const TIME: &str = Column::Time.name();

/// A part of a table, which is one arm of a compound SELECT.
pub(super) struct Part {
    pub(super) table: Table,
    /// The condition of its rows; empty for all rows.
    pub(super) rows: String,
    /// SQL for the time that rows are ordered by, if it is not the column.
    pub(super) order: Option<String>,
}

/// Returns the parts of the tables.
pub(super) fn parts(store: &Store, tables: Vec<Table>) -> rusqlite::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for table in tables {
        if table.has(TIME) && lacks_times(store, &table)? {
            let mut without = table.clone();
            without.columns.retain(|column| column != TIME);
            let rows = and(&table.shown, "time IS NULL");
            parts.push(Part { table: without, rows, order: None });
            let rows = and(&table.shown, "time IS NOT NULL");
            parts.extend(timed(store, table, &rows)?);
        } else {
            let rows = table.shown.clone();
            parts.extend(timed(store, table, &rows)?);
        }
    }
    Ok(parts)
}

/// Returns the parts of a table whose rows have a `time`: spans in which the wall clock showed times again, and the rest.
fn timed(store: &Store, table: Table, rows: &str) -> rusqlite::Result<Vec<Part>> {
    let is_ours = table.has(TIME) && table.has(Column::BootNs.name());
    let spans = if is_ours { spans(store, &table)? } else { Vec::new() };
    let part = |span: &str, order| Part { table: table.clone(), rows: and(rows, span), order };
    if spans.is_empty() {
        return Ok(vec![part("", None)]);
    }
    let mut parts = Vec::new();
    let mut from = i64::MIN;
    for Span { low, high, order } in spans {
        parts.push(part(&format!("time >= {from} AND time < {low}"), None));
        parts.push(part(
            &format!("time >= {low} AND time < {high}"),
            Some(format!("CASE{order} ELSE time END")),
        ));
        from = high;
    }
    parts.push(part(&format!("time >= {from}"), None));
    Ok(parts)
}

/// Returns both conditions as one; an empty one is true.
fn and(one: &str, other: &str) -> String {
    [one, other].iter().filter(|test| !test.is_empty()).copied().collect::<Vec<_>>().join(" AND ")
}

/// A span of time with rows from before a change and after it.
struct Span {
    low: i64,
    high: i64,
    /// The branches of a CASE that gives the time by which the rows after the change are ordered.
    order: String,
}

fn spans(store: &Store, table: &Table) -> rusqlite::Result<Vec<Span>> {
    if !store.has_table(table.file, SET_BACK)? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT since_ns, utc_ns_at_boot, shown_ns FROM {}.{SET_BACK} WHERE collector_id = ?
         ORDER BY since_ns + utc_ns_at_boot",
        table.file.schema()
    );
    let mut changes = store.connection().prepare(&sql)?;
    let changes =
        changes.query_map([&table.collector_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut spans: Vec<Span> = Vec::new();
    for change in changes {
        let (since, utc_ns_at_boot, high): (i64, i64, i64) = change?;
        let low = since.saturating_add(utc_ns_at_boot);
        // A later run reads the clocks anew, with an error of less than a millisecond.
        let boot_ns = quote(Column::BootNs.name());
        let order = format!(
            " WHEN {boot_ns} >= {since} AND abs(time - {boot_ns} - {utc_ns_at_boot}) < 1000000 AND time < {high}
              THEN {high}"
        );
        let is_full = spans.len() == SPANS;
        match spans.last_mut() {
            Some(last) if low < last.high || is_full => {
                last.high = last.high.max(high);
                last.order.push_str(&order);
            }
            _ => spans.push(Span { low, high, order }),
        }
    }
    Ok(spans)
}
