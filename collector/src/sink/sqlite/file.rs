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
use model::lock::lock;

use super::Store;
use super::run::Run;
use crate::sink::output_file::{Gone, Replaced};
use crate::sink::written::Written;

/// State that the store's incarnations and successors share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) run: Run,
    pub(super) written: Arc<Mutex<Written>>,
    /// Id of the store's file. A new file that replaces a lost one gets the same, so that pinned rings stay usable.
    pub(super) id: Arc<Mutex<Option<String>>>,
}

impl Shared {
    pub(super) fn new(run: Run) -> Self {
        Self { run, written: Arc::default(), id: Arc::default() }
    }
}

/// The files that SQLite keeps beside the database while it is open.
pub(super) fn log_files(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// Leaves the database if its path, or that of its log, leads elsewhere; returns what happened.
pub(super) fn refresh(shared: &Shared, store: &mut Option<Store>) -> Option<Replaced> {
    let mut written = lock(&shared.written);
    if let Some(gone) = written.gone() {
        if let Some(store) = store.take() {
            leave(store, &gone);
        }
        return Some(written.replaced(&gone));
    }
    let lost = store.as_ref()?.logs.iter().find_map(|log| Some((log.gone()?, log.path().to_owned())))?;
    let (gone, path) = lost;
    if let Some(store) = store.take() {
        // The database is still there: closing it writes the rows of the log to it.
        leave(store, &Gone::Moved(PathBuf::new()));
    }
    let cause = format!("{} (its rows are saved)", gone.sentence(&path));
    Some(Replaced { cause, lost: BTreeMap::new(), since: clock::boot_ns() })
}

/// Closes a database whose file, or whose log, is gone from its path.
fn leave(store: Store, gone: &Gone) {
    let Store { connection, logs, .. } = store;
    let whole = match gone {
        Gone::Removed => true,
        // SQLite itself does not write the log back if the file was moved.
        Gone::Moved(_) => {
            let busy =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
            busy == Ok(0)
        }
    };
    if let Err((_, cause)) = connection.close() {
        tracing::warn!(%cause, "closing a store whose file is gone");
    }
    for (index, log) in logs.iter().enumerate().filter(|(_, log)| log.gone().is_none()) {
        let kept = match gone {
            Gone::Moved(to) if !whole && !to.as_os_str().is_empty() => {
                fs::rename(log.path(), &log_files(to)[index])
            }
            _ => fs::remove_file(log.path()),
        };
        if let Err(cause) = kept {
            let log = log.path().display();
            tracing::warn!(%cause, %log, "the log of a store whose file is gone could not be put away");
        }
    }
}
