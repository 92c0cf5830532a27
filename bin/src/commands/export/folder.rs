//! The folder that an export makes. It has another name until all files are complete, and replaces nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use store::segment::file_stem;

/// A folder under its temporary name. It is removed if it is not finished.
pub(super) struct NewFolder {
    target: PathBuf,
    temporary: PathBuf,
    is_finished: bool,
}

impl NewFolder {
    /// Makes the folder beside `target`, which must not exist or be an empty folder.
    pub(super) fn begin(target: &Path) -> anyhow::Result<Self> {
        let target = std::path::absolute(target)?;
        match fs::read_dir(&target).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => bail!("{} is not empty: export to another folder", target.display()),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause).with_context(|| format!("reading {}", target.display())),
        }
        let name = target.file_name().context("expected the path of a folder")?;
        let temporary = format!(".{}.{}.part", name.display(), std::process::id());
        let temporary = target.with_file_name(temporary);
        DirBuilder::new()
            .mode(0o700)
            .create(&temporary)
            .with_context(|| format!("making {}", temporary.display()))?;
        Ok(Self { target, temporary, is_finished: false })
    }

    /// Returns the path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.temporary.join(name)
    }

    /// Makes a file that is named after a tracer, as a file of a segment is.
    pub(super) fn file(&self, tracer: &str, ending: &str) -> anyhow::Result<(PathBuf, File)> {
        let stem = file_stem(tracer);
        let mut path = self.path(&format!("{stem}.{ending}"));
        for number in 2.. {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
                    path = self.path(&format!("{stem}.{number}.{ending}"));
                }
                file => {
                    let file = file.with_context(|| format!("making {}", path.display()))?;
                    return Ok((path, file));
                }
            }
        }
        bail!("making a file for rows of {tracer:?}")
    }

    /// Removes a file that got no rows.
    pub(super) fn remove(&self, path: &Path) -> anyhow::Result<()> {
        fs::remove_file(path).with_context(|| format!("removing {}", path.display()))
    }

    /// Gives the folder its name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        // A folder that is not empty is not replaced.
        fs::rename(&self.temporary, &self.target)
            .with_context(|| format!("renaming {} to {}", self.temporary.display(), self.target.display()))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.is_finished {
            // It has a name that says what it is, if this fails.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}
