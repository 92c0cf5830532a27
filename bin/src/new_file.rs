//! A file that appears under its name when it is complete, and replaces nothing.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

/// A file under a temporary name, which is removed if it is not finished.
pub(crate) struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Makes the file in the folder that it will be in.
    pub(crate) fn begin(path: &Path) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        if path.symlink_metadata().is_ok() {
            bail!("{} exists: name another file", path.display());
        }
        let folder = path.parent().context("expected the path of a file")?;
        let file = tempfile::Builder::new().prefix(".duetector-").suffix(".part").tempfile_in(folder);
        let file = file.with_context(|| format!("making a file in {}", folder.display()))?;
        Ok(Self { file, path })
    }

    /// Returns the file, to write to.
    pub(crate) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Gives the file its name, when it is on the disk.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let Self { file, path } = self;
        file.as_file().sync_all().with_context(|| format!("writing {}", path.display()))?;
        file.persist_noclobber(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(())
    }
}
