//! Writes the exported rows through a sink: to a file of duetector's layout, or to a columnar store.

use actors::clock;
use analyzer::{Cell, Query, Row, Store};
use anyhow::Context as _;
use collector::sink::sqlite::Run;
use collector::sink::{Sink, SinkError};
use model::schema::{COLUMNS, ColumnSlot};
use model::{Details, ExecId, Extended, Routed, Tracking, WallTime};

use crate::commands::query::{failure, undecided};
use crate::exit::Failure;

/// A tracer, and a collector that has rows of it.
pub(super) type Source = (String, String);

/// Number of rows in a transaction.
const PIECE: usize = 4096;

/// Writes the rows of each collector through a sink of its own, and returns their number.
pub(super) fn write(
    store: &Store,
    query: &Query,
    sources: &[Source],
    make: impl Fn(Run) -> Box<dyn Sink>,
) -> Result<u64, Failure> {
    let mut total = 0;
    for (tracer, collector_id) in sources {
        let run = Run {
            run_id: format!("{:x}-{}", clock::unix_ns(), std::process::id()),
            collector_id: collector_id.clone(),
            started: clock::wall(),
        };
        let mut sink = make(run);
        let columns = COLUMNS.iter().map(|column| column.name().to_owned()).collect();
        let (tracers, collector_id) = (vec![tracer.clone()], Some(collector_id.clone()));
        let query = Query { tracers, collector_id, columns, ..query.clone() };
        let mut answer = store.query(&query).map_err(failure)?;
        let mut piece = Vec::new();
        for row in answer.rows().map_err(failure)? {
            piece.push(tracking(tracer, row.map_err(failure)?));
            if piece.len() == PIECE {
                total += insert(&mut *sink, std::mem::take(&mut piece))?;
            }
        }
        total += insert(&mut *sink, piece)?;
        undecided(&answer);
        sink.close(&[], clock::wall()).map_err(failed)?;
    }
    Ok(total)
}

fn insert(sink: &mut dyn Sink, rows: Vec<Tracking>) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let count = rows.len() as u64;
    let rejected = sink.write(&[Routed { claim: None, rows: rows.into(), bytes: 0 }], &[]).map_err(failed)?;
    match rejected.first() {
        None => Ok(count),
        Some(first) => {
            Err(Failure::failed(format!("{} rows can't be exported: {}", first.rows, first.cause)))
        }
    }
}

fn failed(cause: SinkError) -> Failure {
    let cause = Err::<(), _>(cause).context("exporting rows");
    cause.map_or_else(Failure::Failed, |()| Failure::No)
}

/// Returns the row whose cells are those of [`COLUMNS`].
fn tracking(tracer: &str, row: Row) -> Tracking {
    let fields = row.cells.iter().find_map(|cell| match cell {
        Cell::Json(serde_json::Value::Object(fields)) => Some(fields.clone()),
        _ => None,
    });
    let extended = Extended::new(Details::Fields(fields.unwrap_or_default()));
    let mut tracking = Tracking::new(tracer.into(), WallTime(0), extended);
    tracking.dt = None;
    for (column, cell) in COLUMNS.iter().zip(row.cells) {
        match (tracking.slot(*column), cell) {
            (ColumnSlot::Int(slot), Cell::Integer(number)) => *slot = Some(number),
            (ColumnSlot::Text(slot), Cell::Text(text)) => *slot = Some(text.as_str().into()),
            (ColumnSlot::Shared(slot), Cell::Text(text)) => *slot = Some(text.into()),
            (ColumnSlot::ExecId(slot), Cell::Text(text)) => *slot = exec_id(&text),
            (ColumnSlot::Time(slot), Cell::Text(text)) => *slot = WallTime::parse(&text),
            (ColumnSlot::Zoned(slot), Cell::Time(at)) => *slot = Some(at),
            _ => {}
        }
    }
    tracking
}

fn exec_id(text: &str) -> Option<ExecId> {
    let (pid, start_ns) = text.split_once('-')?;
    Some(ExecId { pid: pid.parse().ok()?, start_ns: start_ns.parse().ok()? })
}
