//! Rows of a columnar store, batch by batch, for questions that read columns and not rows.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use store::segment::{Folder, manifest_hash};
use store::{Batch, BatchRows, Reader, Selection};

use super::reading::of_sqlite;
use super::scan::or_damaged;
use super::sqlite::Store;
use crate::Error;
use crate::error::reading;

/// The batches of some tracers that are read together: those of a segment, or those that are not sealed.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Name of the segment, and the hash of its manifest; `None` for batches that are not sealed.
    pub(crate) segment: Option<(String, String)>,
    /// The batches, each with the index of its tracer.
    pub(crate) batches: Vec<(usize, Batch)>,
}

impl Store {
    /// Returns whether the store is columnar.
    pub(crate) fn is_columnar(&self) -> bool {
        self.has_streams()
    }

    /// Returns the batches of these tracers: first those of each segment, in order of time, then the others.
    pub(crate) fn pieces(&self, tracers: &[&str]) -> Result<Vec<Piece>, Error> {
        pieces(self.connection(), tracers).map_err(reading("list of batches"))
    }

    /// Returns the folder of the segments; `None` for a store in memory.
    pub(crate) fn segments(&self) -> Option<Folder> {
        let path = self.connection().path().filter(|path| !path.is_empty())?;
        Some(Folder::beside(Path::new(path)))
    }

    /// Returns a reader of batches, which counts how it reads them.
    pub(crate) fn reader(&self) -> Reader {
        Reader::counting(self.reads())
    }

    /// Reads a batch: those columns for whose names `wants` is true. A batch that can't be decoded is noted among the damaged ones.
    pub(crate) fn read_batch(
        &self,
        reader: &Reader,
        batch: &Batch,
        wants: &dyn Fn(&str) -> bool,
    ) -> Result<Option<BatchRows>, Error> {
        let rows = reader.select(self.connection(), batch, wants, &Selection::default());
        or_damaged(rows, batch, &self.damage_list()).map_err(of_sqlite).map_err(reading("rows"))
    }
}

fn pieces(connection: &Connection, tracers: &[&str]) -> rusqlite::Result<Vec<Piece>> {
    let reader = Reader::default();
    let mut sealed: BTreeMap<String, Vec<(usize, Batch)>> = BTreeMap::new();
    let mut rest = Vec::new();
    for stream in reader.streams(connection)? {
        let Some(tracer) = tracers.iter().position(|tracer| *tracer == stream.tracer) else { continue };
        for batch in reader.batches(connection, stream.id, i64::MIN, i64::MAX)? {
            match batch.segment() {
                Some(segment) => sealed.entry(segment.to_owned()).or_default().push((tracer, batch)),
                None => rest.push((tracer, batch)),
            }
        }
    }
    let mut pieces = Vec::new();
    for (segment, batches) in sealed {
        let hash = manifest_hash(connection, &segment)?.unwrap_or_default();
        pieces.push(Piece { segment: Some((segment, hash)), batches });
    }
    pieces.push(Piece { segment: None, batches: rest });
    for piece in &mut pieces {
        piece.batches.sort_by_key(|(tracer, batch)| (*tracer, batch.first));
    }
    Ok(pieces)
}
