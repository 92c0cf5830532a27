//! The work folder of an agent: accessible to its owner alone, and locked while an agent uses it.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use model::trusted::{trusted_file, trusted_parents};
use nix::fcntl::{Flock, FlockArg};

/// Introduction of each reason why a work folder is refused.
const REFUSED: &str = "the work folder can't be used (choose another with --workdir)";
/// Name of the lock file, which contains the agent's pid.
const LOCK: &str = "lock";

/// A locked work folder. Dropping it releases the lock.
pub(crate) struct Workdir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Workdir {
    /// Creates the folder if it is missing, and locks it.
    pub(crate) fn claim(path: &Path) -> anyhow::Result<Self> {
        make(path)?;
        let lock = path.join(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&lock)
            .with_context(|| {
                format!("opening the lock file {} (it must not be a symbolic link)", lock.display())
            })?;
        check_own(&lock, &file.metadata()?)?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => bail!(
                "another agent ({}) is already using the work folder {}: stop it with `duetector-actors stop`, \
                 or choose another folder with --workdir",
                running_pid(path).map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}")),
                path.display()
            ),
            Err((_, cause)) => {
                return Err(cause).with_context(|| format!("locking the lock file {}", lock.display()));
            }
        };
        lock.set_len(0)
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .with_context(|| format!("writing the pid to the lock file in {}", path.display()))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns the pid in the lock file: of the agent that uses the folder, or of the last one that did.
pub(crate) fn running_pid(workdir: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(workdir.join(LOCK)).ok()?.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Returns whether an agent is using that work folder.
pub(crate) fn is_locked(workdir: &Path) -> bool {
    let Ok(file) = File::open(workdir.join(LOCK)) else { return false };
    // A shared lock suffices for the test and needs no write permission. It is released at once.
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, nix::errno::Errno::EWOULDBLOCK)))
}

/// Creates the folder with mode 0700 if it is missing. Refuses a symbolic link, a folder of another user, and one that others
/// may write, also if the agent is root.
pub(crate) fn make(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!(
            "creating the work folder {}: choose a folder that you may write to with --workdir",
            path.display()
        )
    })?;
    // By a handle, so that what is checked is what was found.
    let handle = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_PATH | nix::libc::O_NOFOLLOW)
        .open(path)
        .with_context(|| format!("opening the work folder {}", path.display()))?;
    let meta = handle
        .metadata()
        .with_context(|| format!("reading the owner of the work folder {}", path.display()))?;
    if !meta.is_dir() {
        bail!(
            "the work folder {} is a symbolic link or not a folder: choose another with --workdir",
            path.display()
        );
    }
    check_own(path, &meta)
}

/// Checks that no other user can put another folder in the place of root's work folder.
pub(crate) fn check_parents(path: &Path) -> anyhow::Result<()> {
    trusted_parents(path).context(REFUSED)
}

/// Checks that a file of the work folder, or the folder, belongs to this user and that no other user may write it. Whoever
/// may write the folder could put another store there.
pub(crate) fn check_own(path: &Path, found: &Metadata) -> anyhow::Result<()> {
    trusted_file(path, found).context(REFUSED)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_work_folder_is_used_by_one_agent_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = Workdir::claim(&path).unwrap();
        let refused = Workdir::claim(&path).err().unwrap().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        drop(first);
        assert_eq!(Workdir::claim(&path).unwrap().path(), path);
    }

    #[test]
    fn a_symbolic_link_as_work_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(Workdir::claim(&link).is_err());
    }
}
