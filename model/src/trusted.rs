//! Decides whether a file may be believed: nobody but root and the agent's own user may change it, or put another in its
//! place. The rules are those of sshd (StrictModes) and cron:
//!
//! - The file, each folder on its way and each symlink's target belong to root or to the agent's user, and neither group nor
//!   others may write.
//! - A folder with the sticky bit, such as /tmp, may be writable if what the path takes from it belongs to root or the
//!   agent's user: others can neither rename nor remove that.
//! - On a file system that is mounted read-only, owners and modes do not matter.
//!
//! A path is checked from the root downwards, so that what has been checked can't change any more when its children are.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use thiserror::Error;

/// Bits of a mode that let group and others write.
const WRITABLE: u32 = 0o022;
/// The bit of a folder's mode by which only a file's owner may rename or remove it.
pub const STICKY: u32 = 0o1000;
/// Symlinks on one path, as in the kernel.
const MOST_LINKS: usize = 40;
/// Descriptors of this process. Who started the agent chose them.
const DESCRIPTORS: [&str; 3] = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"];

/// The reason why a file is not believed.
#[derive(Debug, Error)]
pub enum Untrusted {
    /// Others than its owner may write.
    #[error(
        "{} (mode {:04o}) may be written by others than its owner: use `chmod go-w`, or another place", path.display(), mode
    )]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// The mode, without the type.
        mode: u32,
    },
    /// The owner is somebody else.
    #[error(
        "{} (mode {:04o}) belongs to uid {uid}, neither to root nor to the agent's user: use `chown`, or another place",
        path.display(),
        mode
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// The mode, without the type.
        mode: u32,
        /// Uid of the owner.
        uid: u32,
    },
    /// The path can't be followed.
    #[error("{}: {source}", path.display())]
    Unreachable {
        /// The part that could not be read.
        path: PathBuf,
        source: io::Error,
    },
}

impl From<Untrusted> for io::Error {
    fn from(cause: Untrusted) -> Self {
        match cause {
            Untrusted::Unreachable { source, .. } => source,
            refused => Self::new(io::ErrorKind::PermissionDenied, refused),
        }
    }
}

/// Checks a file that has been opened, or whose folder has been checked: its owner and mode.
///
/// # Errors
/// Others own it or may write it.
pub fn trusted_file(path: &Path, found: &Metadata) -> Result<(), Untrusted> {
    trusted_for(path, found, None)
}

fn trusted_for(path: &Path, found: &Metadata, user: Option<u32>) -> Result<(), Untrusted> {
    let (path, mode) = (path.to_owned(), found.mode() & 0o7777);
    if !is_trusted(found.uid(), user) {
        return Err(Untrusted::Foreign { path, mode, uid: found.uid() });
    }
    if mode & WRITABLE == 0 { Ok(()) } else { Err(Untrusted::Writable { path, mode }) }
}

/// Checks a file or folder and all folders on its way.
///
/// # Errors
/// Others own a part of the path or may change it, or it can't be followed.
pub fn trusted_path(path: &Path) -> Result<(), Untrusted> {
    trusted_path_for(path, None)
}

/// Checks the folders above a file or folder that root writes to, so that nobody else can put others in their place. What is
/// missing is made below what was checked. An agent that is not root's checks nothing: the folders are its user's affair.
///
/// # Errors
/// Others own one of the folders or may change it.
pub fn trusted_parents(path: &Path) -> Result<(), Untrusted> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    match path.parent().map_or(Ok(()), trusted_path) {
        Err(Untrusted::Unreachable { .. }) => Ok(()),
        checked => checked,
    }
}

/// Checks a program that runs as `user`, who may own it, too.
///
/// # Errors
/// As for [`trusted_path`].
pub fn trusted_path_for(path: &Path, user: Option<u32>) -> Result<(), Untrusted> {
    if DESCRIPTORS.iter().any(|prefix| path.starts_with(prefix)) && !leads_to_a_file(path) {
        return Ok(());
    }
    let failed = |path: &Path, source| Untrusted::Unreachable { path: path.to_owned(), source };
    let whole = std::path::absolute(path).map_err(|source| failed(path, source))?;
    let (mut at, mut rest, mut links) = (PathBuf::from("/"), parts(&whole), 0);
    // Whether others may make and remove entries of the folder `at`, but not ours.
    let mut sticky = step(&at, &metadata(&at)?, user)?;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            sticky = step(&at, &metadata(&at)?, user)?;
            continue;
        }
        let next = at.join(part);
        let found = metadata(&next)?;
        if !found.is_symlink() {
            sticky = step(&next, &found, user)?;
            at = next;
            continue;
        }
        // A symlink has no mode of its own: who may change its folder may change it.
        if sticky && !is_trusted(found.uid(), user) {
            return Err(Untrusted::Foreign { path: next, mode: 0o777, uid: found.uid() });
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(failed(&next, io::Error::from(nix::errno::Errno::ELOOP)));
        }
        let target = fs::read_link(&next).map_err(|source| failed(&next, source))?;
        if target.is_absolute() {
            at = PathBuf::from("/");
            sticky = step(&at, &metadata(&at)?, user)?;
        }
        let mut parts = parts(&target);
        parts.append(&mut rest);
        rest = parts;
    }
    Ok(())
}

/// Checks one file or folder of a path. Returns whether it is a folder in which others may make entries.
fn step(path: &Path, found: &Metadata, user: Option<u32>) -> Result<bool, Untrusted> {
    match trusted_for(path, found, user) {
        Ok(()) => Ok(false),
        Err(Untrusted::Writable { mode, .. }) if found.is_dir() && mode & STICKY != 0 => Ok(true),
        Err(_) if is_read_only(path) => Ok(false),
        Err(refused) => Err(refused),
    }
}

fn is_trusted(uid: u32, user: Option<u32>) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw() || Some(uid) == user
}

fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
}

/// Returns whether a descriptor leads to a file with a path, rather than to a pipe or a terminal.
fn leads_to_a_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

fn metadata(path: &Path) -> Result<Metadata, Untrusted> {
    path.symlink_metadata().map_err(|source| Untrusted::Unreachable { path: path.to_owned(), source })
}

/// Returns the names in a path, and `..` as it stands.
fn parts(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A temporary folder whose owners and modes the test may change; none unless root.
    fn scratch() -> Option<(tempfile::TempDir, PathBuf)> {
        let scratch = nix::unistd::geteuid().is_root().then(|| tempfile::tempdir().unwrap())?;
        let file = scratch.path().join("folder/file");
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        Some((scratch, file))
    }

    fn refused(path: &Path) -> String {
        trusted_path(path).unwrap_err().to_string()
    }

    #[test]
    fn every_part_of_a_path_must_be_closed_to_others() {
        let Some((scratch, file)) = scratch() else { return };
        let folder = file.parent().unwrap();
        trusted_path(&file).unwrap();
        mode(&file, 0o664);
        assert!(refused(&file).contains("folder/file (mode 0664)"), "{}", refused(&file));
        mode(&file, 0o644);
        mode(folder, 0o777);
        assert!(refused(&file).contains("folder (mode 0777)"), "{}", refused(&file));
        mode(folder, 0o1777);
        trusted_path(&file).unwrap();
        chown(&file, Some(12345), None).unwrap();
        assert!(refused(&file).contains("belongs to uid 12345"), "{}", refused(&file));
        chown(&file, Some(0), None).unwrap();
        mode(folder, 0o755);
        chown(folder, Some(12345), None).unwrap();
        assert!(refused(&file).contains("belongs to uid 12345"), "{}", refused(&file));
        assert!(trusted_path(&scratch.path().join("missing")).is_err());
    }

    #[test]
    fn symlinks_are_followed_and_their_folders_checked() {
        let Some((scratch, file)) = scratch() else { return };
        let open = scratch.path().join("open");
        fs::create_dir(&open).unwrap();
        symlink("../folder/file", open.join("link")).unwrap();
        symlink(&file, scratch.path().join("absolute")).unwrap();
        trusted_path(&open.join("link")).unwrap();
        trusted_path(&scratch.path().join("absolute")).unwrap();
        // Others could put another link here.
        mode(&open, 0o777);
        assert!(refused(&open.join("link")).contains("open (mode 0777)"));
        mode(&open, 0o1777);
        trusted_path(&open.join("link")).unwrap();
        std::os::unix::fs::lchown(open.join("link"), Some(12345), None).unwrap();
        assert!(refused(&open.join("link")).contains("uid 12345"));
        symlink("round", scratch.path().join("round")).unwrap();
        assert!(refused(&scratch.path().join("round")).contains("symbolic links"));
    }
}
