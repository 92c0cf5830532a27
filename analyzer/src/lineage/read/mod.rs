//! Reads rows of a store into facts: only the columns that lineage needs, batch by batch.

mod boots;
mod columns;
mod files;
mod ipc;
mod life;
mod reading;
mod sockets;
mod usage;

use self::boots::Boots;
use self::reading::{Reading, Tracer};
use super::edge_file;
use super::facts::Facts;
use crate::store::Piece;
use crate::{Error, Store};

/// Names of the tracers whose rows lineage reads.
pub(super) fn tracers() -> impl Iterator<Item = &'static str> {
    all().map(|tracer| tracer.name)
}

/// Returns the tracers in the order in which they are read: those with names of files come last, because a row of `usage` has the
/// exact time of the first use.
fn all() -> impl Iterator<Item = &'static Tracer> {
    let usage = std::iter::once(&usage::USAGE);
    let ipc = std::iter::once(&ipc::IPC);
    let files = files::THROWING.iter().chain(&files::NAMING);
    life::LIFE.iter().chain(usage).chain(files).chain(&sockets::SOCKETS).chain(ipc)
}

/// Reads all rows. Also those before a time that is asked about number the contents of files, and have the ends of sockets.
/// The facts of a sealed segment come from a file beside it, which is made when it is missing.
pub(super) fn facts(store: &Store) -> Result<Facts, Error> {
    let boots = Boots::of(store)?;
    let mut whole = Facts { boots: boots.starts().to_vec(), ..Facts::default() };
    let tracers: Vec<&Tracer> = all().collect();
    let names: Vec<&str> = tracers.iter().map(|tracer| tracer.name).collect();
    for piece in store.pieces(&names)? {
        let known = piece.segment.as_ref().and_then(|(segment, hash)| edge_file::load(store, segment, hash));
        let of_piece = match known {
            Some(known) => known,
            None => {
                let read = read_piece(store, &piece, &tracers, &boots)?;
                // Those of a damaged segment would lack rows for ever.
                if let Some((segment, hash)) = piece.segment.as_ref().filter(|_| store.damaged().is_empty()) {
                    edge_file::save(store, segment, hash, &read);
                }
                read
            }
        };
        whole.add(of_piece, |start| boots.of_row(start, 0));
    }
    whole.finish();
    Ok(whole)
}

fn read_piece(store: &Store, piece: &Piece, tracers: &[&Tracer], boots: &Boots) -> Result<Facts, Error> {
    let mut reading = Reading::new(boots);
    let reader = store.reader();
    for (number, batch) in &piece.batches {
        let tracer = tracers[*number];
        let wants = |name: &str| tracer.columns.iter().any(|columns| columns.contains(&name));
        if let Some(rows) = store.read_batch(&reader, batch, &wants)? {
            (tracer.read)(&mut reading, &rows);
        }
    }
    Ok(reading.facts)
}
