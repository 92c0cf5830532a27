//! Reads rows tracer by tracer and column by column, for questions that add up many rows: from columnar stores by Arrow, from files of
//! duetector's layout by SQL.

use store::typed::Values;
use store::{Reader, Wanted};

use super::chunk::{Chunk, Walk};
use super::reading::of_sqlite;
use super::scan::or_damaged;
use super::sqlite::{Store, Table};
use super::tables::walk_table;
use crate::Error;
use crate::error::reading;
use crate::sql::Meter;

/// Reads rows of a store.
#[derive(Debug)]
pub(crate) struct Walker<'a> {
    store: &'a Store,
    reader: Reader,
    tables: Vec<Table>,
}

impl<'a> Walker<'a> {
    /// Prepares to read a store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn new(store: &'a Store) -> Result<Self, Error> {
        Ok(Self { store, reader: Reader::counting(store.reads()), tables: store.tables()? })
    }

    /// Returns the store.
    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    /// Returns whether the store has rows of a tracer.
    pub(crate) fn has(&self, tracer: &str) -> bool {
        self.tables.iter().any(|table| table.tracer == tracer)
    }

    /// Returns the names of all tracers with rows.
    pub(crate) fn tracers(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tables.iter().map(|table| table.tracer.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Hands the selected rows of a tracer to `each`. A batch that can't be decoded is left out, and noted in the store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn walk(&self, walk: Walk<'_>, each: &mut dyn FnMut(&Chunk<'_>)) -> Result<(), Error> {
        for table in self.tables.iter().filter(|table| table.tracer == walk.tracer) {
            self.go_on()?;
            match table.stream {
                Some(stream) => self.walk_stream(stream, &table.collector_id, walk, each),
                None => walk_table(self.store.connection(), table, walk, each),
            }
            .map_err(|cause| self.go_on().err().unwrap_or_else(|| reading("rows")(cause)))?;
        }
        Ok(())
    }

    /// Fails if whoever watches the store has stopped the question.
    fn go_on(&self) -> Result<(), Error> {
        if self.store.meter().is_some_and(Meter::is_stopped) { Err(Error::Stopped) } else { Ok(()) }
    }

    fn walk_stream(
        &self,
        stream: i64,
        collector_id: &str,
        walk: Walk<'_>,
        each: &mut dyn FnMut(&Chunk<'_>),
    ) -> rusqlite::Result<()> {
        let Walk { columns, selection, .. } = walk;
        let (connection, damaged) = (self.store.connection(), self.store.damage_list());
        let batches = self.reader.batches(connection, stream, selection.since, selection.until)?;
        let wanted = Wanted { columns: &|name| columns.contains(&name), selection };
        self.reader.select_each(connection, &batches, wanted, &mut |batch, rows| {
            let Some(rows) = or_damaged(rows, batch, &damaged).map_err(of_sqlite)? else { return Ok(()) };
            if let Some(meter) = self.store.meter() {
                meter.reads(i64::try_from(rows.len()).unwrap_or_default())?;
            }
            if !rows.is_empty() {
                let values = columns.iter().map(|name| Values::of(&rows, name)).collect();
                each(&Chunk::new(collector_id, values, rows.len()));
            }
            Ok(())
        })
    }
}
