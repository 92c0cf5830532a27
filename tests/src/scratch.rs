//! A folder that is gone when its test is over.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary folder, entered and written by every user, so that a workload under another uid can use it.
#[derive(Debug)]
pub struct Scratch {
    _guard: TempDir,
    path: PathBuf,
}

impl Scratch {
    /// A new one.
    ///
    /// # Panics
    /// When none can be made.
    pub fn new() -> Self {
        let guard =
            tempfile::Builder::new().prefix("duetector-test-").tempdir().expect("no temporary folder");
        // As the kernel resolves it, which is what records show.
        let path = guard.path().canonicalize().expect("the temporary folder is not there");
        let scratch = Self { _guard: guard, path };
        // With the sticky bit, as /tmp has it: the agent believes a file of root's in it.
        set_mode(&scratch.path, 0o1777);
        scratch
    }

    /// Where it is, without symlinks.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder in it, open to all.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder).expect("no folder in the temporary folder");
        set_mode(&folder, 0o777);
        folder
    }

    /// A new file in it.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path.join(name);
        fs::write(&file, content).expect("no file in the temporary folder");
        file
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("the temporary folder is not ours");
}
