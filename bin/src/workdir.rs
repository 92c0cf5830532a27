//! The work folder: ours alone, locked while an agent runs on it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};

/// Name of the lock file; it holds the agent's pid.
const LOCK: &str = "lock";

/// A work folder this process has to itself until it is dropped.
pub(crate) struct Workdir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Workdir {
    /// Makes the folder if it is missing, and locks it.
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
            .with_context(|| format!("opening {} (a symbolic link is refused)", lock.display()))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => bail!(
                "another agent ({}) already runs on the work folder {}: stop it with `duetector-actors stop`, \
                 or choose another folder with --workdir",
                running_pid(path).map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}")),
                path.display()
            ),
            Err((_, cause)) => return Err(cause).with_context(|| format!("locking {}", lock.display())),
        };
        lock.set_len(0)
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .context("writing the lock file")?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The pid in the lock file: of the agent that runs there, or ran last.
pub(crate) fn running_pid(workdir: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(workdir.join(LOCK)).ok()?.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether an agent runs on that work folder.
pub(crate) fn is_locked(workdir: &Path) -> bool {
    let Ok(file) = File::open(workdir.join(LOCK)) else { return false };
    // A shared lock is enough to ask with, and needs no right to write; it is let go at once.
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, nix::errno::Errno::EWOULDBLOCK)))
}

/// Makes the folder, for its owner alone, if it is missing; refuses one that is somebody else's.
pub(crate) fn make(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!("making the work folder {}: choose one that you may write with --workdir", path.display())
    })?;
    let meta = path.symlink_metadata().with_context(|| format!("looking at {}", path.display()))?;
    if !meta.is_dir() {
        bail!("the work folder {} is a symbolic link or no folder: refused", path.display());
    }
    let own = nix::unistd::geteuid().as_raw();
    if meta.uid() != own && own != 0 {
        bail!("the work folder {} belongs to user {}, not to you", path.display(), meta.uid());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_at_a_time() {
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
    fn a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(Workdir::claim(&link).is_err());
    }
}
