//! A summary of the store: for each tracer and collector the number of rows, the times of the first and the last, and
//! the accounts of the latest run. Counts and times come from indexes where the file has them; no rows are loaded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use model::schema::{self, ColumnKind};
use model::{AccountSnapshot, Lost, ZonedTime};
use serde::Serialize;

use crate::error::reading;
use crate::store::{File, Table, UTC_OF};
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

    /// Adds the rows of the same tracer and collector in another file.
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.start = [self.start, other.start].into_iter().flatten().min_by_key(|at| at.utc_ns);
        self.end = [self.end, other.end].into_iter().flatten().max_by_key(|at| at.utc_ns);
        self.fields.extend(other.fields);
    }
}

impl Store {
    /// Summarizes the store as of one moment.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn brief(&self) -> Result<Brief, Error> {
        // One read transaction, so that counts and accounts are of the same moment while the agent goes on writing; the caller may have
        // begun one.
        let begin = || self.connection().unchecked_transaction().map_err(reading("brief"));
        let _snapshot = self.connection().is_autocommit().then(begin).transpose()?;
        let tables = self.tables()?;
        let mut accounts = self.last_accounts().map_err(reading("accounts"))?;
        let mut found: BTreeMap<(String, String), TracerBrief> = BTreeMap::new();
        for table in &tables {
            let key = (table.tracer.clone(), table.collector_id.clone());
            let account = accounts.remove(&key);
            let brief = table_brief(self, table, account).map_err(reading("brief of a table"))?;
            match found.entry(key) {
                Entry::Vacant(entry) => drop(entry.insert(brief)),
                Entry::Occupied(mut entry) => entry.get_mut().add(brief),
            }
        }
        let mut tracers: Vec<_> = found.into_values().collect();
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
        let mut last: BTreeMap<String, Run> = BTreeMap::new();
        for file in self.files() {
            for (collector_id, run) in self.last_runs(*file)? {
                // An additional output keeps no accounts.
                let is_later = |before: &Run| run.began > before.began && !run.accounts.is_empty();
                if last.get(&collector_id).is_none_or(is_later) {
                    last.insert(collector_id, run);
                }
            }
        }
        let accounts = last.into_iter().flat_map(|(collector_id, run)| {
            let key = move |tracer| (tracer, collector_id.clone());
            run.accounts.into_iter().map(move |(tracer, account)| (key(tracer), account))
        });
        Ok(accounts.collect())
    }

    /// Returns each collector's latest run in a file.
    fn last_runs(&self, file: File) -> rusqlite::Result<BTreeMap<String, Run>> {
        let mut runs = BTreeMap::new();
        if !self.has_table(file, RUNS)? || !self.has_table(file, ACCOUNTS)? {
            return Ok(runs);
        }
        let schema = file.schema();
        let sql = format!(
            "SELECT collector_id, run_id FROM {schema}.{RUNS}
             WHERE rowid IN (SELECT max(rowid) FROM {schema}.{RUNS} GROUP BY collector_id)"
        );
        let mut latest = self.connection().prepare(&sql)?;
        let sql = format!(
            "SELECT tracer, seen, stored, filtered, lost_ring, lost_decode, lost_queue, lost_sink
             FROM {schema}.{ACCOUNTS} WHERE run_id = ?"
        );
        let mut accounts = self.connection().prepare(&sql)?;
        for run in latest.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (collector_id, run_id): (String, String) = run?;
            let accounts = accounts.query_map([&run_id], |row| {
                let count = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
                let lost = Lost { ring: count(4)?, decode: count(5)?, queue: count(6)?, sink: count(7)? };
                let account =
                    AccountSnapshot { seen: count(1)?, stored: count(2)?, filtered: count(3)?, lost };
                Ok((row.get(0)?, account))
            })?;
            let accounts = accounts.collect::<rusqlite::Result<_>>()?;
            runs.insert(collector_id, Run { began: began(&run_id), accounts });
        }
        Ok(runs)
    }
}

/// A run in a file.
struct Run {
    /// When it began, in nanoseconds since 1970; 0 if its id does not say so.
    began: u128,
    accounts: Vec<(String, AccountSnapshot)>,
}

/// Returns the time with which the id of a run begins.
fn began(run_id: &str) -> u128 {
    run_id.split('-').next().and_then(|ns| u128::from_str_radix(ns, 16).ok()).unwrap_or(0)
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
    let name = table.from();
    let shown = |more: &str| {
        let tests: Vec<&str> = [more, &table.shown].into_iter().filter(|test| !test.is_empty()).collect();
        if tests.is_empty() { String::new() } else { format!("WHERE {}", tests.join(" AND ")) }
    };
    // One statement for each aggregate: asked for together, SQLite reads every row; alone, each comes from an index.
    let count =
        store.connection().query_row(&format!("SELECT count(*) FROM {name} {}", shown("")), (), |row| {
            row.get::<_, i64>(0)
        })?;
    let edge = |function: &str| -> rusqlite::Result<Option<ZonedTime>> {
        let connection = store.connection();
        let known = if table.has("time") {
            let sql = format!("SELECT {function}(time) FROM {name} {}", shown(""));
            connection.query_row(&sql, (), |row| row.get(0))?
        } else {
            None
        };
        let of_dt = if table.has("dt") && (!table.has("time") || crate::query::lacks_times(store, table)?) {
            let unknown = shown(if table.has("time") { "time IS NULL" } else { "" });
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
