//! `store status`: segments, unsealed rows and room.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{Table, presets};
use model::Size;
use serde::Serialize;
use store::segment::{Limits, Room, SegmentStatus, list, unsealed};

use super::store_file::file;
use crate::cli_common::Common;
use crate::exit::Outcome;
use crate::output::{self, Output, to_json};

/// Time to wait for a lock on the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// The state of a store.
#[derive(Debug, Serialize)]
struct StoreStatus {
    /// Version of the format.
    format: i64,
    segments: Vec<SegmentStatus>,
    /// Size of the batches that are not sealed, in bytes.
    unsealed_bytes: i64,
    unsealed_rows: i64,
    /// Size of the sealed files, in bytes.
    sealed_bytes: i64,
    sealed_rows: i64,
    /// Size of a sealed row, in bytes.
    bytes_per_row: Option<f64>,
    /// Size of everything on the disk, in bytes.
    used_bytes: u64,
    /// Size up to which nothing is removed, in bytes.
    max_bytes: u64,
    /// Days until rows are removed, if they come as they did.
    days_left: Option<f64>,
    /// The limit that is exceeded.
    exceeded: Option<String>,
}

/// Prints the state.
pub(super) fn run(common: &Common, format: Output) -> Outcome {
    let path = file(common)?;
    let connection = store::open::for_reading(&path, PATIENCE).map_err(anyhow::Error::from)?;
    let room = Room::of(&connection).map_err(anyhow::Error::from)?;
    let limits = Limits::of(&common.load()?.store, room.total);
    let status = status(&connection, &room, &limits).map_err(anyhow::Error::from)?;
    match format {
        Output::Json => output::print(&to_json(&status)?),
        Output::Table => output::print(&text(&status)),
    }
}

fn status(connection: &rusqlite::Connection, room: &Room, limits: &Limits) -> rusqlite::Result<StoreStatus> {
    let moment = connection.unchecked_transaction()?;
    let (segments, unsealed) = (list(&moment)?, unsealed(&moment)?);
    let sealed = segments.iter().filter(|segment| segment.state == "sealed");
    let (bytes, rows) = sealed.fold((0, 0), |sum, one| (sum.0 + one.bytes, sum.1 + one.rows));
    Ok(StoreStatus {
        format: store::format::version(&moment)?,
        unsealed_bytes: unsealed.bytes,
        unsealed_rows: unsealed.rows,
        sealed_bytes: bytes,
        sealed_rows: rows,
        bytes_per_row: (rows > 0).then(|| bytes as f64 / rows as f64),
        used_bytes: room.used(),
        max_bytes: limits.max_size,
        days_left: days_left(&segments, room, limits),
        exceeded: limits.exceeded(room),
        segments,
    })
}

/// Returns the days until the limits are reached, from the size and the times of what was sealed; `None` if that is less than an
/// hour.
fn days_left(segments: &[SegmentStatus], room: &Room, limits: &Limits) -> Option<f64> {
    let sealed = || segments.iter().filter(|segment| segment.state == "sealed");
    let (first, last) =
        sealed().map(|one| one.span).reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))?;
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    let bytes: i64 = sealed().map(|segment| segment.bytes).sum();
    let left = limits.max_size.saturating_sub(room.used()).min(room.free.saturating_sub(limits.min_free));
    (seconds >= 3600.0 && bytes > 0).then(|| left as f64 / (bytes as f64 / seconds) / 86_400.0)
}

fn text(status: &StoreStatus) -> String {
    let size = |bytes: i64| Size(bytes.unsigned_abs()).rounded();
    let mut text = format!(
        "format {}, {} of {} used\n{} rows are not sealed, {}\n{} rows are sealed, {}",
        status.format,
        size(status.used_bytes.cast_signed()),
        size(status.max_bytes.cast_signed()),
        status.unsealed_rows,
        size(status.unsealed_bytes),
        status.sealed_rows,
        size(status.sealed_bytes),
    );
    if let Some(bytes) = status.bytes_per_row {
        let _ = write!(text, ", {bytes:.1} bytes a row");
    }
    if let Some(days) = status.days_left {
        let _ = write!(text, "\nthere is room for about {days:.0} more days");
    }
    if let Some(exceeded) = &status.exceeded {
        let _ = write!(text, "\na limit is exceeded: {exceeded}");
    }
    if status.segments.is_empty() {
        return text;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["segment", "state", "first", "last", "rows", "size"]);
    for segment in &status.segments {
        let SegmentStatus { name, state, first, last, rows, bytes, .. } = segment;
        table.add_row([name, state, first, last, &rows.to_string(), &size(*bytes).to_string()]);
    }
    format!("{text}\n\n{table}")
}
