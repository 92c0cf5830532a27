//! Reads many batches in their order. Sealed ones are decoded by threads of their own, while the caller works on those before.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use rusqlite::Connection;

use crate::Error;
use crate::decode::BatchRows;
use crate::read::{Batch, Reader, Source};
use crate::segment::{Folder, SealedFiles, Unit};
use crate::selected::Selected;
use crate::sought::Selection;

/// Number of threads that decode. Each holds the rows of one batch.
const THREADS: usize = 2;
/// Number of sealed batches from which on threads are worth their start.
const ENOUGH: usize = 4;

/// Batches of which the same columns and rows are read.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Returns whether a column is read, by its name.
    pub columns: &'a (dyn Fn(&str) -> bool + Sync),
    /// Selects the rows.
    pub selection: &'a Selection,
}

/// Takes the rows of a batch.
type Each<'a, E> = dyn FnMut(&Batch, Result<BatchRows, Error>) -> Result<(), E> + 'a;
/// A row group, and its batch.
type Sealed<'a> = (&'a Batch, &'a Unit);
/// The rows of a row group that a thread has read.
type Read = Result<Selected, Error>;

impl Reader {
    /// Reads the selected rows of batches, and hands them to `each` in the order of the batches. A batch that can't be read is an error
    /// for `each`, which says by an error of its own that no more are wanted.
    ///
    /// # Errors
    /// That of `each`.
    pub fn select_each<E>(
        &self,
        connection: &Connection,
        batches: &[Batch],
        wanted: Wanted<'_>,
        each: &mut Each<'_, E>,
    ) -> Result<(), E> {
        let folder = Folder::of(connection);
        let sealed: Vec<Sealed<'_>> = batches
            .iter()
            .filter_map(|batch| match &batch.source {
                Source::Sealed(unit) => Some((batch, unit)),
                Source::Unsealed { .. } => None,
            })
            .collect();
        thread::scope(|scope| {
            let threads = if sealed.len() < ENOUGH { 0 } else { THREADS };
            let mut decoded = Vec::new();
            for first in 0..threads {
                let (sender, receiver) = sync_channel(0);
                let part = sealed.iter().skip(first).step_by(threads).copied();
                let folder = &folder;
                let decode = move || decode(folder, part, wanted, &sender);
                // Without a thread, the caller reads its part.
                if thread::Builder::new().name("decode".to_owned()).spawn_scoped(scope, decode).is_err() {
                    tracing::debug!("no thread to decode rows");
                }
                decoded.push(receiver);
            }
            let mut next = 0;
            for batch in batches {
                let ahead = if batch.is_sealed() && threads > 0 {
                    next += 1;
                    decoded[(next - 1) % threads].recv().ok()
                } else {
                    None
                };
                let rows = match ahead {
                    Some(read) => read.map(|read| BatchRows::new(&self.counted(read), batch.first_id)),
                    None => self.select(connection, batch, wanted.columns, wanted.selection),
                };
                each(batch, rows)?;
            }
            Ok(())
        })
    }
}

/// Reads row groups, one after the other, until nobody wants more.
fn decode<'a>(
    folder: &Folder,
    part: impl Iterator<Item = Sealed<'a>>,
    wanted: Wanted<'_>,
    sender: &SyncSender<Read>,
) {
    let files = SealedFiles::default();
    for (batch, unit) in part {
        let selection = wanted.selection.within(batch.first, batch.last);
        let read = files.select(folder, unit, (batch.rows, wanted.columns), &selection);
        let read = read.map_err(|source| Error::Decode { what: batch.name(), source });
        if sender.send(read).is_err() {
            return;
        }
    }
}
