//! Opens files that only their owner may read, and refuses symlinks.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Creates the folder of `path` if it is missing (0700), and returns the path with the folder's links resolved. The
/// folder may be reached through symlinks, but the file itself must not be one.
pub(crate) fn prepare(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.canonicalize()?.join(name);
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(io::Error::new(io::ErrorKind::InvalidInput, "is a symlink")),
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(path),
    }
}

/// Opens a prepared path for writing at its end; a new file is 0600.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_CLOEXEC;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags.bits()).open(path)
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
