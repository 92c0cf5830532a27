//! The bookkeeping of a run, in tables of its own beside the rows: its accounts, its positions in pinned rings, and the changes
//! by which the wall clock was set back. It is written in the transaction of the rows it counts, and is the same in every file
//! that has the role of the store.

mod accounts;
mod positions;
mod run;
mod set_back;
mod tracer_account;

use model::{BootNs, Clocks, WallTime};
use rusqlite::Connection;

pub use positions::{TakenOver, remembered, take_over};
pub use run::Run;
pub use tracer_account::{PinnedCheckpoint, TracerAccount};

/// Statements that create the tables.
pub const SCHEMA: [&str; 3] = [accounts::SCHEMA, positions::SCHEMA, set_back::SCHEMA];
/// Columns that files of earlier versions lack, until a run begins.
pub const LATER: [&str; 2] = accounts::LATER;

/// The bookkeeping of one run, open in a file.
#[derive(Debug)]
pub struct Bookkeeping {
    run: Run,
    /// Number of changes of the wall clock that the file knows.
    changes: u64,
}

impl Bookkeeping {
    /// Creates missing tables and opens the bookkeeping of a run. Also returns the id of the file: a new file gets `known`, if it
    /// replaces one that was lost during this run, or the id of the run.
    ///
    /// # Errors
    /// SQLite can't write to the file.
    pub fn begin(
        connection: &Connection,
        run: &Run,
        known: Option<&str>,
    ) -> rusqlite::Result<(Self, String)> {
        let id = positions::begin(connection, run, known)?;
        accounts::begin(connection, run)?;
        connection.execute_batch(set_back::SCHEMA)?;
        Ok((Self { run: run.clone(), changes: 0 }, id))
    }

    /// Returns the run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Writes everything as it is now.
    ///
    /// # Errors
    /// SQLite can't write to the file. The transaction has to be rolled back, and [`Bookkeeping::rolled_back`] to be called.
    pub fn write(
        &mut self,
        connection: &Connection,
        accounts: &[TracerAccount],
        now: &Now<'_>,
    ) -> rusqlite::Result<()> {
        accounts::write(connection, &self.run.run_id, accounts, now.wall)?;
        positions::write(connection, &self.run, accounts, now.boot)?;
        if now.clocks.changes() > self.changes {
            set_back::write(connection, &self.run, now.clocks)?;
            self.changes = now.clocks.changes();
        }
        Ok(())
    }

    /// Notes that what was written last is not in the file.
    pub fn rolled_back(&mut self) {
        self.changes = 0;
    }

    /// Writes the final accounts, and that the run has ended.
    ///
    /// # Errors
    /// SQLite can't write to the file.
    pub fn end(
        &self,
        connection: &Connection,
        accounts: &[TracerAccount],
        ended: WallTime,
        boot: BootNs,
    ) -> rusqlite::Result<()> {
        accounts::write(connection, &self.run.run_id, accounts, ended)?;
        positions::write(connection, &self.run, accounts, boot)?;
        accounts::end(connection, &self.run.run_id, ended)
    }
}

/// The present moment by all clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// Local time of the wall clock.
    pub wall: WallTime,
    /// Time since the machine was started.
    pub boot: BootNs,
    /// The changes of the wall clock so far.
    pub clocks: &'a Clocks,
}
