//! Times in which no agent recorded anything, from the table of runs.

use model::ZonedTime;
use rusqlite::Row;

use super::losses::Gap;
use crate::error::reading;
use crate::span::Span;
use crate::store::UTC_OF;
use crate::{Error, Store};

/// Table of runs, which the sink with the role of the store writes.
const RUNS: &str = "duetector_actors_run";

/// A run of an agent.
#[derive(Clone, Debug)]
struct Run {
    started: i64,
    /// The last moment of which the file says that everything before it was written.
    written: i64,
    /// Whether it has ended in order.
    has_ended: bool,
    /// Whether records of the time before it waited in pinned rings.
    has_adopted: bool,
}

/// How far the record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Beginning of the first run.
    pub(crate) from: Option<i64>,
    /// The last moment at which a run wrote to the file.
    pub(crate) to: Option<i64>,
}

impl Reach {
    /// Returns how far the record of a store goes.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn of(store: &Store) -> Result<Self, Error> {
        let runs = runs(store).map_err(reading("runs"))?;
        Ok(Self {
            from: runs.iter().map(|run| run.started).min(),
            to: runs.iter().map(|run| run.written).max(),
        })
    }
}

/// Returns the times without an agent that touch this one: between runs, and, if the question names bounds, before the first and after
/// the last one.
pub(super) fn gaps(store: &Store, span: Span) -> Result<Vec<Gap>, Error> {
    let mut runs = runs(store).map_err(reading("runs"))?;
    runs.sort_by_key(|run| run.started);
    let (mut found, mut reached) = (Vec::new(), None);
    let mut add = |from: i64, to: i64| {
        let (from, to) = (from.max(span.since), to.min(span.until));
        if from < to {
            found.push(without_agent(store, from, to));
        }
    };
    let mut may_go_on = false;
    for run in &runs {
        match reached {
            None if span.since > i64::MIN => add(span.since, run.started),
            Some(reached) if !run.has_adopted => add(reached, run.started),
            _ => {}
        }
        if reached.is_none_or(|reached| run.written >= reached) {
            (reached, may_go_on) = (Some(run.written), !run.has_ended);
        }
    }
    if let Some(reached) = reached.filter(|_| span.until < i64::MAX && !may_go_on) {
        add(reached, span.until);
    }
    // A time without a bound on one side that lies before or after all runs.
    let is_before = runs.iter().all(|run| run.started > span.until);
    let is_after = reached.is_some_and(|reached| reached < span.since && !may_go_on);
    if found.is_empty() && !runs.is_empty() && (is_before || is_after) {
        let at = if is_before { span.until } else { span.since };
        found.push(without_agent(store, at, at));
    }
    Ok(found)
}

fn without_agent(store: &Store, from: i64, to: i64) -> Gap {
    let time = |at| ZonedTime::new(at, store.zone());
    let cause = "no agent was running".to_owned();
    Gap { tracer: None, from: time(from), to: time(to), count: None, cause, uid: None, cgroup_id: None }
}

/// Returns the runs of all files.
fn runs(store: &Store) -> rusqlite::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for file in store.files() {
        if !store.has_table(*file, RUNS)? {
            continue;
        }
        let schema = file.schema();
        let columns = format!("SELECT name FROM pragma_table_info('{RUNS}', '{schema}')");
        let mut columns = store.connection().prepare(&columns)?;
        let columns = columns.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let column = |name: &str| {
            if columns.iter().any(|known| known == name) { name.to_owned() } else { "NULL".to_owned() }
        };
        let sql = format!(
            "SELECT run_id, {UTC_OF}(started, collector_id), {UTC_OF}(ended, collector_id), {UTC_OF}({}, collector_id), {} FROM
             {schema}.{RUNS}",
            column("written"),
            column("adopted")
        );
        let mut statement = store.connection().prepare(&sql)?;
        for run in statement.query_map([], run)? {
            runs.extend(run?);
        }
    }
    Ok(runs)
}

fn run(row: &Row<'_>) -> rusqlite::Result<Option<Run>> {
    let id: String = row.get(0)?;
    let of_id = id.split_once('-').and_then(|(ns, _)| i64::from_str_radix(ns, 16).ok());
    let local: [Option<i64>; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
    let Some(started) = of_id.or(local[0]) else { return Ok(None) };
    let written = local[1].or(local[2]).unwrap_or(started);
    let has_adopted = row.get_ref(4)?.as_str_or_null().ok().flatten().is_some();
    Ok(Some(Run { started, written: written.max(started), has_ended: local[1].is_some(), has_adopted }))
}
