//! SQL on a store: a table for each tracer with typed columns, and views over all of them. `docs/SQL.md` describes them.
//!
//! ```text
//! Store ─► tables (virtual, or views of duetector's layout) ─► views ─► guard ─► SELECT … ─► Answer
//! ```

mod describe;
mod described;
mod functions;
mod guard;
mod limits;
mod meter;
mod tables;
mod views;
mod watch;

use std::sync::Arc;

pub(crate) use guard::watch;
pub use limits::Limits;
pub use meter::Meter;
pub(crate) use watch::Watch;

use self::described::Described;
use crate::error::reading;
use crate::rows::Answer;
use crate::{Error, Store};

/// A store that SQL can be run on. All queries see the same moment: that in which it was opened.
#[derive(Debug)]
pub struct Sql {
    store: Store,
    described: Vec<Described>,
    watch: Watch,
}

impl Sql {
    /// Prepares the tables and views, and begins the transaction that all queries read in.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn new(mut store: Store, limits: Limits) -> Result<Self, Error> {
        let meter = Arc::new(Meter::new(limits.timeout));
        let failed = reading("tables for SQL");
        let described = prepare(&store, &limits, &meter).map_err(failed)?;
        let guard = guard::Guard::set(store.connection_mut(), &meter).map_err(reading("bounds of SQL"))?;
        let names = |table: &Described| (table.name.clone(), table.names().map(str::to_owned).collect());
        let known = described.iter().map(names).collect();
        Ok(Self { store, described, watch: Watch { limits, guard, known } })
    }

    /// Returns what watches the queries, and can stop them.
    pub fn meter(&self) -> Arc<Meter> {
        self.watch.meter().clone()
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Prepares a statement, which must be a single SELECT.
    ///
    /// # Errors
    /// The statement is wrong or would change something ([`Error::is_usage`]), or the store can't be read.
    pub fn query(&self, text: &str) -> Result<Answer<'_>, Error> {
        self.watch.guard.forget();
        let prepared = Answer::of_sql(&self.store, &self.watch, text);
        let answer = prepared.map_err(|cause| self.watch.explain(cause))?;
        if !answer.columns().is_empty() {
            Ok(answer)
        } else if answer.has_statement() {
            Err(Error::Refused { what: "a statement that has no rows".to_owned() })
        } else {
            Err(Error::NoStatement)
        }
    }
}

fn prepare(store: &Store, limits: &Limits, meter: &Arc<Meter>) -> rusqlite::Result<Vec<Described>> {
    let connection = store.connection();
    if let Some(folder) = limits.spill.as_deref().and_then(|folder| folder.to_str()) {
        // Fails if the folder can't be written: then the system's own is taken.
        let _ = connection.pragma_update(None, "temp_store_directory", folder);
    }
    if let Some(memory) = limits.memory {
        let memory = i64::try_from(memory).unwrap_or(i64::MAX);
        // From the first on, SQLite gives back what it can; at the second, it fails.
        connection.query_row(&format!("PRAGMA soft_heap_limit = {}", memory / 4 * 3), [], |_| Ok(()))?;
        connection.query_row(&format!("PRAGMA hard_heap_limit = {memory}"), [], |_| Ok(()))?;
    }
    functions::register(connection, store.zone().clone())?;
    connection.execute_batch("BEGIN")?;
    // Only the connection's own tables and views are made: the file is open for reading only.
    connection.pragma_update(None, "query_only", false)?;
    let mut described = tables::make(store, meter)?;
    described.extend(views::make(connection, &described)?);
    connection.pragma_update(None, "query_only", true)?;
    Ok(described)
}
