//! A store that takes the place of another one in the same work folder: of the file with duetector's schema that a version before
//! wrote, or the other way round. It gets the other file's id and its positions in pinned rings, so that the agent goes on with
//! the records that wait in these rings, and reads none of them twice.

use std::path::Path;

use model::Remembered;
use store::bookkeeping::{self, TakenOver};

use super::failed;
use crate::sink::SinkError;
use crate::sink::private_file;

/// Returns the id that a new store at `path` takes over from the `other` one; `None` if it is not new, or there is no other.
pub(super) fn id(path: &Path, other: &Path) -> Option<String> {
    // A store that was made by an import has no id yet.
    let is_new = || bookkeeping::remembered(path).is_ok_and(|own| own.store.is_empty());
    if path == other || !is_ours(other) || (path.exists() && !is_new()) {
        return None;
    }
    match bookkeeping::remembered(other) {
        Ok(remembered) => Some(remembered.store).filter(|id| !id.is_empty()),
        Err(cause) => {
            let path = other.display();
            tracing::warn!(%cause, %path, "the positions in pinned rings can't be taken over from the other store");
            None
        }
    }
}

/// Reads the positions in pinned rings from the store at `path`. Positions in the `other` one, from which this store has taken over
/// its id, are moved here first.
pub(super) fn remembered(path: &Path, other: &Path) -> Result<Remembered, SinkError> {
    let mut taken = TakenOver::default();
    if path != other && is_ours(other) {
        match bookkeeping::take_over(path, other) {
            Ok(found) => taken = found,
            Err(cause) => {
                let path = other.display();
                tracing::warn!(%cause, %path, "the positions in pinned rings can't be taken over from the other store");
            }
        }
    }
    if taken.positions > 0 {
        let (from, to, positions) = (other.display(), path.display(), taken.positions);
        tracing::info!(positions, %from, %to, "positions in pinned rings are taken over from the other store");
    }
    let own =
        bookkeeping::remembered(path).map_err(|source| failed("reading positions from", path, source))?;
    Ok(Remembered { killed: own.killed.or(taken.killed), ..own })
}

/// Returns whether the file is there, and nobody else could have written it.
fn is_ours(path: &Path) -> bool {
    path.exists() && private_file::check_if_there(path).is_ok()
}
