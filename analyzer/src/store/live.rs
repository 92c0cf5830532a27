//! Rows that the agent sends while it stores them. They are put into a store in memory, a few at a time, and the query reads
//! that: so its conditions, columns and expressions mean what they mean for stored rows.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};
use store::carry::{Carried, Unpacker};

use super::connect::quote;
use super::sqlite::Store;
use crate::Error;
use crate::error::reading;

/// Rows on their way.
#[derive(Debug)]
pub struct Live {
    store: Store,
    unpacker: Unpacker,
}

impl Live {
    /// Makes room for rows of this collector.
    ///
    /// # Errors
    /// SQLite has no memory.
    pub fn new(collector_id: &str) -> Result<Self, Error> {
        let path = Path::new("live rows");
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let connection = Connection::open_in_memory().map_err(failed)?;
        let unpacker = Unpacker::new(&connection, collector_id);
        let unpacker = unpacker.map_err(|source| Error::Format { path: path.to_owned(), source })?;
        Ok(Self { store: Store::over(connection, true, path, None)?, unpacker })
    }

    /// Adds rows that were received.
    ///
    /// # Errors
    /// The bytes are not as described.
    pub fn put(&mut self, carried: &Carried, bytes: &[u8]) -> Result<(), Error> {
        let put = self.unpacker.put(self.store.connection(), carried, bytes);
        put.map_err(|source| Error::Format { path: self.store.path().to_owned(), source })
    }

    /// Returns the store that has the rows which were added.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Removes all rows.
    ///
    /// # Errors
    /// SQLite can't remove them.
    pub fn clear(&self) -> Result<(), Error> {
        let cleared = self.unpacker.clear(self.store.connection());
        cleared.map_err(|source| Error::Format { path: self.store.path().to_owned(), source })
    }
}

impl Store {
    /// Makes everything that is read from now on be of one moment, whatever is written meanwhile, until
    /// [`Self::end_snapshot`].
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn begin_snapshot(&self) -> Result<(), Error> {
        self.connection().execute_batch("BEGIN").map_err(reading("the store"))
    }

    /// Ends what [`Self::begin_snapshot`] began.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn end_snapshot(&self) -> Result<(), Error> {
        self.connection().execute_batch("COMMIT").map_err(reading("the store"))
    }

    /// Returns the newest id of each tracer's rows from this collector.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn newest_ids(&self, collector_id: &str) -> Result<HashMap<String, i64>, Error> {
        let mut newest = HashMap::new();
        for table in self.tables()?.into_iter().filter(|table| table.collector_id == collector_id) {
            let sql = format!("SELECT id FROM {} ORDER BY id DESC LIMIT 1", quote(&table.name));
            let id = self.connection().query_row(&sql, (), |row| row.get(0)).optional();
            let id: Option<i64> = id.map_err(reading("ids of rows"))?;
            newest.extend(id.map(|id| (table.tracer, id)));
        }
        Ok(newest)
    }
}
