//! The store's file beside its connection: how it is opened, and what happens if it is removed, moved or replaced while
//! the store is open.
//!
//! SQLite goes on with a file that has no name any more, and when it closes a file it removes the log by its *name*. So
//! the connection to the old file is closed first, and only then a new file is made:
//!
//! ```text
//! path leads elsewhere ─► rows of the log into the old file ─► close ─► what is left of our log: to the old file, or away
//!                                                                        └─► the next call opens what the path leads to
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use actors::clock;
use model::Size;
use model::lock::lock;
use rusqlite::{Connection, OpenFlags};
use store::bookkeeping::Run;
use store::distrust;

use crate::sink::gate::Gate;
use crate::sink::output_file::{Gone, OutputFile, Replaced};
use crate::sink::written::Written;

/// State that the store's incarnations and successors share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) run: Run,
    pub(crate) written: Arc<Mutex<Written>>,
    /// Id of the store's file. A new file that replaces a lost one gets the same, so that pinned rings stay usable.
    pub(crate) id: Arc<Mutex<Option<String>>>,
    pub(crate) checked: Arc<Mutex<Checked>>,
    pub(crate) gate: Gate,
}

/// Result of the search for damage, once in a run.
#[derive(Default)]
pub(crate) struct Checked {
    begun: bool,
    pub(crate) damage: Option<String>,
}

impl Shared {
    pub(crate) fn new(run: Run, gate: Gate) -> Self {
        Self { run, written: Arc::default(), id: Arc::default(), checked: Arc::default(), gate }
    }
}

/// The files that SQLite keeps beside the database while it is open.
pub(crate) fn log_files(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// All files beside the database that SQLite would use if they were there.
pub(crate) fn beside(path: &Path) -> [PathBuf; 3] {
    let [log, index] = log_files(path);
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    [log, index, journal.into()]
}

/// Looks for damage in a database of at most this size, on a thread of its own. Only once in a run.
pub(crate) fn check_in_background(shared: &Shared, path: &Path, limit: Size) {
    let checked = shared.checked.clone();
    let size = fs::metadata(path).map_or(0, |found| found.len());
    if size > limit.0 || limit.0 == 0 || std::mem::replace(&mut lock(&checked).begun, true) {
        return;
    }
    let path = path.to_owned();
    let check = move || {
        let found =
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|connection| {
                distrust::distrust(&connection)?;
                distrust::damage(&connection)
            });
        // A file that can't be read now, because it is busy or gone, is no damaged file.
        let Ok(Some(damage)) = found else { return };
        let path = path.display();
        tracing::error!(%path, damage, "the store is damaged: stop the agent, move the file away, and start it again");
        lock(&checked).damage = Some(damage);
    };
    if let Err(cause) = std::thread::Builder::new().name("store-check".to_owned()).spawn(check) {
        tracing::warn!(%cause, "the store can't be checked for damage");
    }
}

/// Output that is gone: the database, or its log or the log's index, whose path is given.
pub(crate) enum Lost {
    Database(Gone),
    Log(Gone, PathBuf),
}

/// Returns whether the path of the database, or that of its log, leads elsewhere.
pub(crate) fn gone(shared: &Shared, logs: &[OutputFile]) -> Option<Lost> {
    if let Some(gone) = lock(&shared.written).gone() {
        return Some(Lost::Database(gone));
    }
    logs.iter().find_map(|log| Some(Lost::Log(log.gone()?, log.path().to_owned())))
}

/// Leaves the database, if it is still open, and returns what happened.
pub(crate) fn leave(shared: &Shared, open: Option<(Connection, Vec<OutputFile>)>, lost: Lost) -> Replaced {
    if let Some((connection, logs)) = open {
        match &lost {
            Lost::Database(gone) => {
                let whole = close(connection, *gone != Gone::Removed);
                put_away(&logs, gone, whole);
            }
            // The database is still there, and what remains of its log may be in use by other programs.
            Lost::Log(..) => drop(close(connection, true)),
        }
    }
    match lost {
        Lost::Database(gone) => lock(&shared.written).replaced(&gone),
        Lost::Log(gone, path) => Replaced {
            cause: format!("{} (its rows are saved)", gone.sentence(&path)),
            lost: BTreeMap::new(),
            since: clock::boot_ns(),
        },
    }
}

/// Closes a database, after writing the rows of its log to it; SQLite itself does not do that if the file was moved. Returns
/// whether all rows are in the database.
fn close(connection: Connection, save: bool) -> bool {
    let busy = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
    let whole = !save || busy() == Ok(0);
    if let Err((_, cause)) = connection.close() {
        tracing::warn!(%cause, "closing a store whose file is gone");
    }
    whole
}

/// Removes what is left of the log of a database that is gone, or moves it beside the database if rows are still in it.
fn put_away(logs: &[OutputFile], gone: &Gone, whole: bool) {
    for (index, log) in logs.iter().enumerate().filter(|(_, log)| log.gone().is_none()) {
        let done = match gone {
            Gone::Moved(to) if !whole => fs::rename(log.path(), &log_files(to)[index]),
            _ => fs::remove_file(log.path()),
        };
        if let Err(cause) = done {
            let log = log.path().display();
            tracing::warn!(%cause, %log, "the log of a store whose file is gone could not be put away");
        }
    }
}
