//! Finds out whether a file could be written, without creating or changing it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

/// Checks whether the file could be written.
///
/// # Errors
/// The reason why it could not.
pub(crate) fn probe(file: &Path) -> io::Result<()> {
    match fs::symlink_metadata(file) {
        Ok(found) if found.is_symlink() => Err(io::Error::other("is a symlink")),
        Ok(found) if !found.is_file() => Err(io::Error::other("is not a regular file")),
        Ok(_) => {
            let flags = nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC;
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(file).map(drop)
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => folder(file),
        Err(cause) => Err(cause),
    }
}

/// Checks the file's folder, or the nearest existing one above it: missing folders would be created.
fn folder(file: &Path) -> io::Result<()> {
    let near = file.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    if !near.is_dir() {
        return Err(io::Error::other(format!("{} is not a folder", near.display())));
    }
    access(near, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_without_being_created() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        assert!(probe(&path("new/deep/db")).is_ok());
        assert!(!path("new").exists());
        fs::write(path("there"), "x").unwrap();
        assert!(probe(&path("there")).is_ok());
        assert_eq!(probe(scratch.path()).unwrap_err().to_string(), "is not a regular file");
        std::os::unix::fs::symlink(path("there"), path("link")).unwrap();
        assert_eq!(probe(&path("link")).unwrap_err().to_string(), "is a symlink");
        assert!(probe(&path("there/below")).is_err());
        assert_eq!(fs::read_to_string(path("there")).unwrap(), "x");
    }
}
