//! Gaps from rows of the tracer `loss`, and removed rows from those of `retention`.

use model::{LOSS, RETENTION, ZonedTime};
use serde::Serialize;

use crate::Error;
use crate::span::Span;
use crate::store::{Chunk, Walk, Walker};

/// Records of a tracer that are missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Tracer of the records; `None`: all tracers.
    pub tracer: Option<String>,
    /// Beginning of the gap.
    pub from: ZonedTime,
    /// End of the gap.
    pub to: ZonedTime,
    /// Number of records; `None`: not known.
    pub count: Option<i64>,
    /// Reason of the loss.
    pub cause: String,
    /// User whose records were lost; `None`: not known, or several.
    pub uid: Option<i64>,
    /// Control group whose records were lost, of processes of root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_id: Option<u64>,
}

impl Gap {
    /// Returns whether records of one of these users may be among the lost ones.
    pub(super) fn concerns(&self, uids: &[i64]) -> bool {
        self.uid.is_none_or(|uid| uids.contains(&uid))
    }
}

/// Rows that were removed to make room.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Removed {
    /// Name of the segment that had them.
    pub segment: String,
    /// Time of the first row.
    pub from: ZonedTime,
    /// Time of the last row.
    pub to: ZonedTime,
    /// Number of rows, of all tracers.
    pub rows: i64,
    /// Reason of the removal.
    pub cause: String,
}

const COLUMNS: [&str; 9] =
    ["lost_tracer", "from_time", "to_time", "count", "cause", "uid", "cgroup_id", "sink", "time"];

/// Returns the gaps of these tracers that touch the time.
pub(super) fn gaps(walker: &Walker<'_>, span: Span, tracers: &[&str]) -> Result<Vec<Gap>, Error> {
    // A row is written at the end of its gap, or later.
    let selection = Span { since: span.since, until: i64::MAX }.select(Vec::new());
    let (own, mut found) = (walker.store().sink(), Vec::new());
    walker.walk(Walk { tracer: LOSS, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
        for row in 0..chunk.len() {
            let Some(tracer) = chunk.text(row, 0).filter(|tracer| tracers.contains(tracer)) else { continue };
            // What another sink has lost is in the store.
            let is_ours = chunk.text(row, 7).is_none_or(|sink| sink == own);
            let (from, to) = times(walker, chunk, row);
            if is_ours && span.touches(from.utc_ns, to.utc_ns) {
                found.push(Gap {
                    tracer: Some(tracer.to_owned()),
                    from,
                    to,
                    count: chunk.int(row, 3).filter(|count| *count > 0),
                    cause: chunk.text(row, 4).unwrap_or_default().to_owned(),
                    uid: chunk.int(row, 5),
                    cgroup_id: chunk.uint(row, 6),
                });
            }
        }
    })?;
    Ok(found)
}

/// Returns the removed segments that touch the time.
pub(super) fn removed(walker: &Walker<'_>, span: Span) -> Result<Vec<Removed>, Error> {
    let columns = ["segment", "from_time", "to_time", "count", "cause", "", "", "", "time"];
    let selection = Span { since: span.since, until: i64::MAX }.select(Vec::new());
    let mut found = Vec::new();
    walker.walk(Walk { tracer: RETENTION, columns: &columns, selection: &selection }, &mut |chunk| {
        for row in 0..chunk.len() {
            let (from, to) = times(walker, chunk, row);
            if span.touches(from.utc_ns, to.utc_ns) {
                found.push(Removed {
                    segment: chunk.text(row, 0).unwrap_or_default().to_owned(),
                    from,
                    to,
                    rows: chunk.int(row, 3).unwrap_or_default(),
                    cause: chunk.text(row, 4).unwrap_or_default().to_owned(),
                });
            }
        }
    })?;
    found.sort_by_key(|part| (part.from, part.to));
    Ok(found)
}

/// Returns beginning and end. A row without them is about its own time.
fn times(walker: &Walker<'_>, chunk: &Chunk<'_>, row: usize) -> (ZonedTime, ZonedTime) {
    let own = chunk.int(row, 8).unwrap_or_default();
    let time = |column| ZonedTime::new(chunk.int(row, column).unwrap_or(own), walker.store().zone());
    (time(1), time(2))
}
