//! The store summed up: per tracer and collector, how many rows, from when to when, and the books of the last
//! run. Counts and times come from indexes where the file has them, never from loading rows.

use std::collections::BTreeMap;

use model::schema::{self, ColumnKind};
use model::{AccountSnapshot, Lost};
use rusqlite::Connection;
use serde::Serialize;

use crate::error::reading;
use crate::store::Table;
use crate::{Error, Store};

/// Who ran, from when to when; written by the SQLite sink.
const RUNS: &str = "duetector_actors_run";
/// The books of each tracer in each run.
const ACCOUNTS: &str = "duetector_actors_account";

/// Everything in a store, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Brief {
    /// By tracer, then collector.
    pub tracers: Vec<TracerBrief>,
}

/// One tracer's rows from one collector. What the last run booked is null where nobody booked: rows of other
/// writers, of earlier runs, `loss` rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracerBrief {
    /// The name rows are stored under.
    pub tracer: String,
    /// Who wrote them.
    pub collector_id: String,
    /// Rows.
    pub count: u64,
    /// First `dt`.
    pub start: Option<String>,
    /// Last `dt`.
    pub end: Option<String>,
    /// Columns, and what is in them, in duetector's words.
    pub fields: BTreeMap<String, &'static str>,
    /// Records that existed in the last run; 0 where it had no such tracer, as for `loss`, and likewise below.
    pub seen: u64,
    /// Records stored.
    pub stored: u64,
    /// Records dropped on purpose.
    pub filtered: u64,
    /// Records lost, by place.
    pub lost: Lost,
}

impl Store {
    /// Sums the store up, as of one moment.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn brief(&self) -> Result<Brief, Error> {
        // One snapshot, so that counts and books are of the same moment while the agent writes on.
        let snapshot = self.connection().unchecked_transaction().map_err(reading("brief"))?;
        let tables = self.tables()?;
        let mut books = self.last_books().map_err(reading("accounts"))?;
        let mut tracers = Vec::new();
        for table in &tables {
            let book = books.remove(&(table.tracer.clone(), table.collector_id.clone()));
            tracers.push(table_brief(&snapshot, table, book).map_err(reading("brief of a table"))?);
        }
        // Tracers that ran and stored nothing yet have no table, and still have something to say.
        tracers.extend(books.into_iter().map(|((tracer, collector_id), book)| TracerBrief {
            tracer,
            collector_id,
            count: 0,
            start: None,
            end: None,
            fields: BTreeMap::new(),
            ..booked(Some(book))
        }));
        tracers.sort_by(|a, b| (&a.tracer, &a.collector_id).cmp(&(&b.tracer, &b.collector_id)));
        Ok(Brief { tracers })
    }

    /// The books of each collector's last run, by tracer and collector.
    fn last_books(&self) -> rusqlite::Result<BTreeMap<(String, String), AccountSnapshot>> {
        if !self.has_table(RUNS)? || !self.has_table(ACCOUNTS)? {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT tracer, collector_id, seen, stored, filtered, lost_ring, lost_decode, lost_queue, lost_sink
             FROM {ACCOUNTS} JOIN {RUNS} AS run USING (run_id)
             WHERE run.rowid IN (SELECT max(rowid) FROM {RUNS} GROUP BY collector_id)"
        );
        let mut statement = self.connection().prepare(&sql)?;
        let books = statement.query_map((), |row| {
            let count = |place| row.get::<_, i64>(place).map(i64::unsigned_abs);
            let lost = Lost { ring: count(5)?, decode: count(6)?, queue: count(7)?, sink: count(8)? };
            let book = AccountSnapshot { seen: count(2)?, stored: count(3)?, filtered: count(4)?, lost };
            Ok(((row.get(0)?, row.get(1)?), book))
        })?;
        books.collect()
    }
}

fn table_brief(
    connection: &Connection,
    table: &Table,
    book: Option<AccountSnapshot>,
) -> rusqlite::Result<TracerBrief> {
    let name = crate::query::quote(&table.name);
    // Two statements: together, SQLite would read every row for what each alone takes from an index.
    let count =
        connection.query_row(&format!("SELECT count(*) FROM {name}"), (), |row| row.get::<_, i64>(0))?;
    let edge = |function: &str| -> rusqlite::Result<Option<String>> {
        if !table.has("dt") {
            return Ok(None);
        }
        let sql = format!("SELECT CAST({function}(dt) AS TEXT) FROM {name}");
        connection.query_row(&sql, (), |row| row.get(0))
    };
    let fields = schema::COLUMNS.iter().filter(|column| table.has(column.name));
    Ok(TracerBrief {
        tracer: table.tracer.clone(),
        collector_id: table.collector_id.clone(),
        count: count.unsigned_abs(),
        start: edge("min")?,
        end: edge("max")?,
        fields: fields.map(|column| (column.name.to_owned(), type_name(column.kind))).collect(),
        ..booked(book)
    })
}

/// A brief with nothing but the books.
fn booked(book: Option<AccountSnapshot>) -> TracerBrief {
    let AccountSnapshot { seen, stored, filtered, lost } = book.unwrap_or_default();
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

/// duetector's words for what a column holds.
fn type_name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Integer => "int",
        ColumnKind::Text => "str",
        ColumnKind::DateTime => "datetime",
        ColumnKind::Json => "dict",
    }
}
