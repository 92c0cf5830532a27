//! Finds the columnar store's file.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::cli_common::Common;
use crate::exit::Failure;

/// Returns the columnar store's file, which must be there.
pub(super) fn file(common: &Common) -> Result<PathBuf, Failure> {
    let path = common.load()?.collector.store.file(&common.workdir()?);
    match path.try_exists() {
        Ok(true) => Ok(path),
        Ok(false) => Err(Failure::failed(format!(
            "no columnar store at {}: `duetector-actors start` makes one, --workdir sets the folder",
            path.display()
        ))),
        Err(cause) => Err(Failure::failed(format!("looking for {}: {cause}", path.display()))),
    }
}

/// Returns the same for a command that changes the store, which its owner must run: files of another user would be in the agent's
/// way.
pub(super) fn own_file(common: &Common) -> Result<PathBuf, Failure> {
    let path = file(common)?;
    let found =
        std::fs::metadata(&path).map_err(|cause| Failure::failed(format!("{}: {cause}", path.display())))?;
    if found.uid() == nix::unistd::geteuid().as_raw() {
        return Ok(path);
    }
    Err(Failure::failed(format!(
        "{} belongs to user {}: only that user may change the store",
        path.display(),
        found.uid()
    )))
}
