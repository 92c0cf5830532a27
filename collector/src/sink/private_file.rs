//! Opens files that only their owner may read, and refuses symlinks.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::trusted::{STICKY, Untrusted, trusted_file, trusted_parents};
use nix::fcntl::OFlag;

/// Creates the folder of `path` if it is missing (0700), and returns the path with the folder's links resolved. The
/// folder may be reached through symlinks, but the file itself must not be one.
pub(crate) fn prepare(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    trusted_parents(path)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let folder = folder.canonicalize()?;
    match check_folder(&folder) {
        // In a folder such as /tmp others can make files, but not take ours away; `open` refuses theirs.
        Err(Untrusted::Writable { mode, .. }) if mode & STICKY != 0 => {}
        checked => checked?,
    }
    let path = folder.join(name);
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(io::Error::new(io::ErrorKind::InvalidInput, "is a symlink")),
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(path),
    }
}

/// Checks that no other user may make, rename or remove files in the folder.
pub(crate) fn check_folder(folder: &Path) -> Result<(), Untrusted> {
    let found = folder.symlink_metadata();
    let found = found.map_err(|source| Untrusted::Unreachable { path: folder.to_owned(), source })?;
    trusted_file(folder, &found)
}

/// Opens a prepared path for writing at its end; a new file is 0600. Does not wait for a reader of a pipe that somebody has put
/// there meanwhile.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags.bits()).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
    }
    trusted_file(path, &found)?;
    Ok(file)
}

/// Creates the file (0600), or checks the owner and mode of one that exists. That one is not opened for access: closing it
/// would end the locks that SQLite has on it through another connection of this process.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits();
    match OpenOptions::new().append(true).create_new(true).mode(0o600).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_if_there(path),
        created => created.map(drop),
    }
}

/// Checks the owner and mode of a file, if it exists.
pub(crate) fn check_if_there(path: &Path) -> io::Result<()> {
    match OpenOptions::new().read(true).custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits()).open(path) {
        Ok(file) => {
            let found = file.metadata()?;
            let refused = io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a regular file", path.display()),
            );
            if found.is_file() { Ok(trusted_file(path, &found)?) } else { Err(refused) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn private_and_no_symlinks() {
        let scratch = tempfile::tempdir().unwrap();
        let path = prepare(&scratch.path().join("a/b/file")).unwrap();
        let file = open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let folder = path.parent().unwrap().metadata().unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
        let link = scratch.path().join("link");
        symlink("a/b/file", &link).unwrap();
        assert_eq!(prepare(&link).unwrap_err().to_string(), "is a symlink");
        assert!(open(&link).is_err());
        // A folder reached through a symlink is allowed.
        symlink("a", scratch.path().join("elsewhere")).unwrap();
        assert_eq!(prepare(&scratch.path().join("elsewhere/b/file")).unwrap(), path);
        assert_eq!(prepare(scratch.path()).unwrap_err().to_string(), "is not a regular file");
    }
}
