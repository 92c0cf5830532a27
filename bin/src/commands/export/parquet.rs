//! Parquet files with the exported rows, as those of a segment: a columnar store is made in the folder, and sealed.

use std::fs;
use std::path::Path;

use analyzer::{Query, Store};
use anyhow::Context as _;
use collector::Synchronous;
use collector::sink::store::Store as Columnar;
use store::segment::{Folder, MANIFEST, Sealer};

use super::folder::NewFolder;
use super::through_sink::{self, Source};
use crate::exit::Failure;
use crate::sealer;

/// Name of the store's file, which is removed in the end.
const FILE: &str = "store.sqlite3";

/// Writes a file for each tracer and collector, and returns the number of rows.
pub(super) fn write(
    store: &Store,
    query: &Query,
    sources: &[Source],
    folder: &NewFolder,
) -> Result<u64, Failure> {
    let path = folder.path(FILE);
    let make = |run| Box::new(Columnar::new(path.clone(), Synchronous::Off, run)) as _;
    let rows = through_sink::write(store, query, sources, make)?;
    if path.exists() {
        seal(&path, folder).context("sealing the rows")?;
    }
    Ok(rows)
}

/// Seals all rows, and leaves nothing but the files with the rows.
fn seal(path: &Path, folder: &NewFolder) -> anyhow::Result<()> {
    let mut connection = sealer::open(path)?;
    let sealed = Sealer::new(&mut connection, sealer::moment())?.seal(u64::MAX)?;
    drop(connection);
    let segments = Folder::beside(path);
    if let Some(sealed) = sealed {
        let segment = segments.segment(&sealed.name);
        for entry in fs::read_dir(&segment)? {
            let entry = entry?;
            if entry.file_name() != MANIFEST {
                let name = entry.file_name().to_string_lossy().into_owned();
                fs::rename(entry.path(), folder.path(&name))?;
            }
        }
    }
    fs::remove_dir_all(segments.path())?;
    folder.remove(path)?;
    for suffix in ["-wal", "-shm"] {
        // They are there only if the store was not closed in good order.
        let _ = fs::remove_file(folder.path(&format!("{FILE}{suffix}")));
    }
    Ok(())
}
