//! A summary of the store: for each tracer and collector the number of rows, the times of the first and the last, and
//! the accounts of the latest run. Counts and times come from indexes where the file has them; no rows are loaded.

use std::collections::BTreeMap;

use model::schema::{self, ColumnKind};
use model::{AccountSnapshot, Lost, ZonedTime};
use serde::Serialize;

use crate::error::reading;
use crate::store::{Table, UTC_OF};
use crate::{Error, Store};

/// Table of runs: collector, start, end; written by the SQLite sink.
const RUNS: &str = "duetector_actors_run";
/// Table of accounts: the counters of each tracer in each run.
const ACCOUNTS: &str = "duetector_actors_account";

/// A summary of everything in a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Brief {
    /// Ordered by tracer, then by collector.
    pub tracers: Vec<TracerBrief>,
}

/// The rows of one tracer from one collector. The counters of the latest run are 0 where it had no such tracer: for rows of
/// other writers or of earlier runs, and for `loss` rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracerBrief {
    /// The name that the rows are stored under.
    pub tracer: String,
    /// The collector that wrote them.
    pub collector_id: String,
    /// Number of rows.
    pub count: u64,
    /// Time of the first row.
    pub start: Option<ZonedTime>,
    /// Time of the last row.
    pub end: Option<ZonedTime>,
    /// Type of each column, by duetector's names of types.
    pub fields: BTreeMap<String, &'static str>,
    /// Records that the tracer made in the latest run.
    pub seen: u64,
    /// Records that were stored.
    pub stored: u64,
    /// Records that filters dropped.
    pub filtered: u64,
    /// Records that were lost, by the point where it happened.
    pub lost: Lost,
}

impl TracerBrief {
    /// True if there is nothing to say about this tracer: no rows, and no records in the latest run.
    pub fn is_quiet(&self) -> bool {
        self.count == 0 && self.seen == 0 && self.lost.total() == 0
    }
}

impl Store {
    /// Summarizes the store as of one moment.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn brief(&self) -> Result<Brief, Error> {
        // One read transaction, so that counts and accounts are of the same moment while the agent goes on writing.
        let _snapshot = self.connection().unchecked_transaction().map_err(reading("brief"))?;
        let tables = self.tables()?;
        let mut accounts = self.last_accounts().map_err(reading("accounts"))?;
        let mut tracers = Vec::new();
        for table in &tables {
            let account = accounts.remove(&(table.tracer.clone(), table.collector_id.clone()));
            tracers.push(table_brief(self, table, account).map_err(reading("brief of a table"))?);
        }
        // Tracers that ran and stored nothing yet have an account but no table.
        tracers.extend(accounts.into_iter().map(|((tracer, collector_id), account)| TracerBrief {
            tracer,
            collector_id,
            count: 0,
            start: None,
            end: None,
            fields: BTreeMap::new(),
            ..counted(Some(account))
        }));
        tracers.sort_by(|a, b| (&a.tracer, &a.collector_id).cmp(&(&b.tracer, &b.collector_id)));
        Ok(Brief { tracers })
    }

    /// Returns the accounts of each collector's latest run, by tracer and collector.
    fn last_accounts(&self) -> rusqlite::Result<BTreeMap<(String, String), AccountSnapshot>> {
        if !self.has_table(RUNS)? || !self.has_table(ACCOUNTS)? {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT tracer, collector_id, seen, stored, filtered, lost_ring, lost_decode, lost_queue, lost_sink
             FROM {ACCOUNTS} JOIN {RUNS} AS run USING (run_id)
             WHERE run.rowid IN (SELECT max(rowid) FROM {RUNS} GROUP BY collector_id)"
        );
        let mut statement = self.connection().prepare(&sql)?;
        let accounts = statement.query_map((), |row| {
            let count = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
            let lost = Lost { ring: count(5)?, decode: count(6)?, queue: count(7)?, sink: count(8)? };
            let account = AccountSnapshot { seen: count(2)?, stored: count(3)?, filtered: count(4)?, lost };
            Ok(((row.get(0)?, row.get(1)?), account))
        })?;
        accounts.collect()
    }
}

fn table_brief(
    store: &Store,
    table: &Table,
    account: Option<AccountSnapshot>,
) -> rusqlite::Result<TracerBrief> {
    let (count, edges) = match table.stream {
        Some(stream) => store.totals(stream)?.map_or((0, [None, None]), |totals| {
            let time = |at| Some(ZonedTime::new(at, store.zone()));
            (totals.rows, [time(totals.first), time(totals.last)])
        }),
        None => count_and_edges(store, table)?,
    };
    let [start, end] = edges;
    let fields = schema::COLUMNS.iter().filter(|column| table.has(column.name()));
    Ok(TracerBrief {
        tracer: table.tracer.clone(),
        collector_id: table.collector_id.clone(),
        count: count.unsigned_abs(),
        start,
        end,
        fields: fields.map(|column| (column.name().to_owned(), type_name(column.kind()))).collect(),
        ..counted(account)
    })
}

/// Returns the number of rows of a table, and the times of the first and the last.
fn count_and_edges(store: &Store, table: &Table) -> rusqlite::Result<(i64, [Option<ZonedTime>; 2])> {
    let name = crate::query::quote(&table.name);
    // One statement for each aggregate: asked for together, SQLite reads every row; alone, each comes from an index.
    let count = store
        .connection()
        .query_row(&format!("SELECT count(*) FROM {name}"), (), |row| row.get::<_, i64>(0))?;
    let edge = |function: &str| -> rusqlite::Result<Option<ZonedTime>> {
        let connection = store.connection();
        let known = if table.has("time") {
            connection.query_row(&format!("SELECT {function}(time) FROM {name}"), (), |row| row.get(0))?
        } else {
            None
        };
        let of_dt = if table.has("dt") && (!table.has("time") || crate::query::lacks_times(store, table)?) {
            let unknown = if table.has("time") { "WHERE time IS NULL" } else { "" };
            let sql = format!("SELECT {function}({UTC_OF}(dt, ?1)) FROM {name} {unknown}");
            connection.query_row(&sql, [&table.collector_id], |row| row.get(0))?
        } else {
            None
        };
        let both = known.into_iter().chain::<Option<i64>>(of_dt);
        let edge = if function == "min" { both.min() } else { both.max() };
        Ok(edge.map(|ns| ZonedTime::new(ns, store.zone())))
    };
    Ok((count, [edge("min")?, edge("max")?]))
}

/// Returns a brief that has only the counters of an account.
fn counted(account: Option<AccountSnapshot>) -> TracerBrief {
    let AccountSnapshot { seen, stored, filtered, lost } = account.unwrap_or_default();
    TracerBrief {
        tracer: String::new(),
        collector_id: String::new(),
        count: 0,
        start: None,
        end: None,
        fields: BTreeMap::new(),
        seen,
        stored,
        filtered,
        lost,
    }
}

/// Returns duetector's name for a type of column.
fn type_name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Integer => "int",
        ColumnKind::Text => "str",
        ColumnKind::DateTime | ColumnKind::Time => "datetime",
        ColumnKind::Json => "dict",
    }
}
