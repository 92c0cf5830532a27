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
use super::edge_file::{self, Blocks};
use super::facts::Facts;
use super::uses::Uses;
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
pub(super) fn facts(store: &Store) -> Result<(Facts, Uses), Error> {
    let boots = Boots::of(store)?;
    let (mut whole, mut uses) =
        (Facts { boots: boots.starts().to_vec(), ..Facts::default() }, Uses::default());
    let tracers: Vec<&Tracer> = all().collect();
    let names: Vec<&str> = tracers.iter().map(|tracer| tracer.name).collect();
    for piece in store.pieces(&names)? {
        let load =
            || piece.segment.as_ref().and_then(|(segment, hash)| edge_file::load(store, segment, hash));
        let (part, blocks) = match load() {
            Some(known) => known,
            None => {
                let mut read = read_piece(store, &piece, &tracers, &boots)?;
                // Those of a damaged segment would lack rows for ever.
                if let Some((segment, hash)) = piece.segment.as_ref().filter(|_| store.damaged().is_empty()) {
                    edge_file::save(store, segment, hash, &read);
                }
                // What was written needs no memory; if it was not, the uses need as much as in the file.
                match load() {
                    Some(known) => known,
                    None => {
                        let blocks = Blocks::of(&read);
                        read.uses = Vec::new();
                        (read, blocks)
                    }
                }
            }
        };
        let numbers = whole.add(part, |start| boots.of_row(start, 0));
        uses.add(blocks, numbers);
    }
    whole.finish();
    Ok((whole, uses))
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
