//! Notices when an output file is removed, moved, or replaced while a sink has it open.
//!
//! A handle that gives no access (`O_PATH`) remembers which file it was: its device and inode. SQLite's locks stay in force
//! when such a handle is closed, unlike with any other descriptor of the file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use model::{BootNs, TracerName};

/// An output that was taken away from a sink, which opens a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Sentence about the event, with the path.
    pub cause: String,
    /// Rows that were lost with it, by tracer; empty if the output still exists somewhere.
    pub lost: BTreeMap<TracerName, u64>,
    /// When the sink had opened it.
    pub since: BootNs,
}

/// A file that is open for writing, and the path that led to it.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    handle: File,
    id: (u64, u64),
}

/// State of a file to which its path does not lead any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The file has no name any more: it was removed, or moved to another file system.
    Removed,
    /// The file still exists under another name, which is known unless it is out of our reach.
    Moved(PathBuf),
}

impl OutputFile {
    /// Remembers the file at this path, which must not be a symlink.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_CLOEXEC;
        let handle = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
        let found = handle.metadata()?;
        Ok(Self { path: path.to_owned(), handle, id: (found.dev(), found.ino()) })
    }

    /// Returns the path that led to the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the other one is the same file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Returns what became of the file if its path does not lead to it any more.
    pub(crate) fn gone(&self) -> Option<Gone> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.id => return None,
            Ok(_) => {}
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            }
            // A path that can't be read says nothing about the file.
            Err(_) => return None,
        }
        let names = self.handle.metadata().map_or(0, |found| found.nlink());
        let elsewhere = fs::read_link(format!("/proc/self/fd/{}", self.handle.as_raw_fd()));
        Some(if names == 0 { Gone::Removed } else { Gone::Moved(elsewhere.unwrap_or_default()) })
    }
}

impl Gone {
    /// Returns a sentence about the file at `path`.
    pub(crate) fn sentence(&self, path: &Path) -> String {
        match self {
            Self::Removed => format!("{} was removed, or moved to another file system", path.display()),
            Self::Moved(to) => format!("{} was moved to {}", path.display(), to.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_moved_removed_or_replaced_is_noticed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().canonicalize().unwrap();
        let (path, aside) = (folder.join("x"), folder.join("aside"));
        fs::write(&path, "1").unwrap();
        let file = OutputFile::at(&path).unwrap();
        assert_eq!(file.gone(), None);
        fs::rename(&path, &aside).unwrap();
        assert_eq!(file.gone(), Some(Gone::Moved(aside.clone())));
        fs::write(&path, "2").unwrap();
        assert_eq!(file.gone(), Some(Gone::Moved(aside.clone())));
        assert!(!file.is(&OutputFile::at(&path).unwrap()));
        fs::rename(&aside, &path).unwrap();
        assert_eq!(file.gone(), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(file.gone(), Some(Gone::Removed));
    }
}
