//! Files that readers make of a sealed segment, so that the next one needs not read all of it. They are beside the segment's own
//! files, are removed with them, and can always be made again.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::Folder;
use super::folder::{create, open_file};
use crate::Error;

impl Folder {
    /// Opens a file that was made of a segment; `None` if it is not there, or can't be opened.
    pub fn derived(&self, segment: &str, name: &str) -> Option<fs::File> {
        open_file(&self.segment(segment).join(name)).ok()
    }

    /// Writes a file that was made of a segment. It appears when it is complete.
    ///
    /// # Errors
    /// The file can't be written, for example because this user may only read the store.
    pub fn write_derived(&self, segment: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let folder = self.segment(segment);
        let (path, temporary) = (folder.join(name), folder.join(format!(".{name}.{}", std::process::id())));
        let write = || -> Result<(), Error> {
            let mut file = create(&temporary)?;
            file.write_all(bytes).map_err(Error::io("write", &temporary))?;
            self.open_derived(&temporary).map_err(Error::io("let the store's readers into", &temporary))?;
            fs::rename(&temporary, &path).map_err(Error::io("rename", &temporary))?;
            self.remove_alone(segment, &path);
            Ok(())
        };
        let written = write();
        if written.is_err() {
            // It may not have been made.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn open_derived(&self, path: &Path) -> io::Result<()> {
        self.access().open_file(path)
    }

    /// Removes a file that was made of a segment whose own files are gone: retention may have removed them meanwhile.
    fn remove_alone(&self, segment: &str, path: &Path) {
        let entries = fs::read_dir(self.segment(segment)).into_iter().flatten().flatten();
        let has_rows = entries
            .map(|entry| entry.path())
            .any(|path| path.extension().is_some_and(|end| end == "parquet"));
        if !has_rows {
            // It may be gone already, with the segment.
            let _ = fs::remove_file(path);
        }
    }
}

/// Returns the hash of a sealed segment's manifest, as the store knows it; `None` if the segment is not sealed any more.
///
/// # Errors
/// SQLite can't read the file.
pub fn manifest_hash(connection: &Connection, segment: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT manifest FROM segment WHERE name = ? AND state = 'sealed'";
    let found = connection.prepare_cached(sql)?.query_row([segment], |row| row.get::<_, Option<String>>(0));
    Ok(found.optional()?.flatten())
}
