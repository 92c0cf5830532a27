//! The write half: appends rows to an open file, with the bookkeeping, in one transaction.
//!
//! The rows that a tracer gets in one transaction become one batch. Small batches at the end of a stream are put together with
//! it, so that the rows of a quiet machine take little room, too. A batch is put together only with a new one that is at least half as
//! large, so that a row is written again a few times, and not once for each row that follows:
//!
//! ```text
//! 1 ─► 1 1 = 2 ─► 2 1 = 3 ─► 3 1 ─► 3 (1 1 = 2) = 5 ─► … ─► 1,000 rows: left alone
//! ```

mod stream;

use std::path::Path;

use model::{BootNs, Routed, Tracking, WallTime};
use rusqlite::Connection;

use crate::bookkeeping::{Bookkeeping, Now, Run};
use crate::ipc::Encoder;
use crate::segment::Found;
use crate::{Error, TracerAccount, format};
use stream::Streams;

/// An open store.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    bookkeeping: Bookkeeping,
    encoder: Encoder,
    /// Streams that rows were written to; forgotten when a transaction fails, and when another program has changed the file.
    streams: Streams,
    /// SQLite's number for the state in which other programs have left the file.
    data_version: i64,
}

impl Writer {
    /// Begins a run in the file of this connection, which is made a store if it is new. A file that replaces one that was lost
    /// during this run gets its id, `known`. Also returns the file's id.
    ///
    /// # Errors
    /// The file is not a store that this version writes, or SQLite can't write it.
    pub fn begin(connection: Connection, run: &Run, known: Option<&str>) -> Result<(Self, String), Error> {
        let transaction = connection.unchecked_transaction()?;
        if format::begin(&transaction)? {
            found_beside(&transaction, known)?.list(&transaction, &run.run_id)?;
        }
        let (bookkeeping, id) = Bookkeeping::begin(&transaction, run, known)?;
        transaction.commit()?;
        let encoder = encoder()?;
        Ok((Self { connection, bookkeeping, encoder, streams: Streams::default(), data_version: 0 }, id))
    }

    /// Appends the rows of all batches and writes the bookkeeping, or does nothing.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn write(
        &mut self,
        batches: &[Routed],
        accounts: &[TracerAccount],
        now: &Now<'_>,
    ) -> Result<(), Error> {
        self.transact(|writer| {
            let Self { connection, bookkeeping, streams, encoder, .. } = &mut *writer;
            for batch in batches {
                streams.push(connection, &bookkeeping.run().collector_id, &batch.rows)?;
            }
            streams.append_all(connection, encoder)?;
            Ok(writer.bookkeeping.write(&writer.connection, accounts, now)?)
        })
    }

    /// Returns the id of the newest row of a tracer that this writer has written rows of; the name is the stored one.
    pub fn newest_id(&self, tracer: &str) -> Option<i64> {
        self.streams.newest_id(tracer)
    }

    /// Writes the final bookkeeping.
    ///
    /// # Errors
    /// They were not written.
    pub fn end(&mut self, accounts: &[TracerAccount], ended: WallTime, boot: BootNs) -> Result<(), Error> {
        self.transact(|writer| Ok(writer.bookkeeping.end(&writer.connection, accounts, ended, boot)?))
    }

    /// Returns the connection, to close it.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    fn transact(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        // BEGIN IMMEDIATE: if the lock can't be taken, this shows before any work is done.
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = self.notice_changes().and_then(|()| work(self));
        let done = done.and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if done.is_err() {
            if !self.connection.is_autocommit() {
                // If this fails too, so will the next transaction, and the file is opened again.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            // What they know of the file is not there.
            self.streams = Streams::default();
            self.bookkeeping.rolled_back();
        }
        done
    }

    /// Forgets what is known of the streams if another program has changed the file: it may have deleted old batches, or added
    /// some.
    fn notice_changes(&mut self) -> Result<(), Error> {
        let mut version = self.connection.prepare_cached("PRAGMA data_version")?;
        let version = version.query_row([], |row| row.get(0))?;
        if std::mem::replace(&mut self.data_version, version) != version {
            self.streams = Streams::default();
        }
        Ok(())
    }
}

/// Finds the segments of a lost file that this new one goes on with.
pub(crate) fn found_beside(connection: &Connection, known: Option<&str>) -> Result<Found, Error> {
    Found::beside(Path::new(connection.path().unwrap_or_default()), known)
}

/// Appends rows within a transaction of a connection: rows that the store has about itself, and imported ones.
///
/// # Errors
/// SQLite can't write the file; the transaction has to be rolled back.
pub(crate) fn append(connection: &Connection, collector_id: &str, rows: &[Tracking]) -> Result<(), Error> {
    let mut streams = Streams::default();
    streams.push(connection, collector_id, rows)?;
    let mut encoder = encoder()?;
    streams.append_all(connection, &mut encoder)
}

fn encoder() -> Result<Encoder, Error> {
    Encoder::new().map_err(|source| Error::Encode { tracer: String::new(), source })
}
