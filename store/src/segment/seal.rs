//! Seals rows: writes the oldest batches into a segment.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::Moment;
use super::begun::Begun;
use super::file::Part;
use super::files::{Files, keep_damaged};
use super::folder::{self, Folder, Lock};
use super::manifest::Manifest;
use super::notes::Damage;
use super::state::{State, UNREMOVED};
use crate::read::{Batch, Reader, Stream};
use crate::write::append;
use crate::{Error, format};

/// Number of batches that are deleted in one transaction, so that the agent never waits long for its own.
const PIECE: u32 = 16;
/// Number of pages that are given back in one transaction.
const PAGES: u32 = 512;
/// Number of free pages that the file keeps: the next rows need them.
const FREE_PAGES: i64 = 2048;

/// Changes the segments of a store. Only one process does that at a time.
pub struct Sealer<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) folder: Folder,
    pub(super) reader: Reader,
    pub(super) moment: Moment,
    /// Device and inode of the store's file.
    file: Option<(u64, u64)>,
    _lock: Lock,
}

/// A segment that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Name of the segment.
    pub name: String,
    /// Number of rows.
    pub rows: i64,
    /// Size of the files in bytes.
    pub bytes: u64,
    /// Batches that could not be read. They are in the segment's folder as they were, and their rows are counted as lost.
    pub damaged: Vec<Damage>,
}

impl<'a> Sealer<'a> {
    /// Begins to work on the segments of the store that is this connection's main file.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process does, or the file is not a store that this version writes.
    pub fn new(connection: &'a mut Connection, moment: Moment) -> Result<Self, Error> {
        let folder = Folder::of(connection);
        let lock = folder.lock_for_writing()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        format::begin(&transaction)?;
        transaction.commit()?;
        let file = identity(connection);
        Ok(Self { connection, folder, reader: Reader::default(), moment, file, _lock: lock })
    }

    /// Returns the connection, to read from.
    pub fn connection(&self) -> &Connection {
        self.connection
    }

    /// Completes what an earlier process has left undone. Returns the segment that it had begun, if it had.
    ///
    /// # Errors
    /// The files or the store can't be written.
    pub fn recover(&mut self) -> Result<Option<Sealed>, Error> {
        self.folder.clean()?;
        Begun::drop_unmarked(self.connection, &self.folder)?;
        self.remove_files()?;
        let begun = "SELECT number, name FROM segment WHERE state = 'sealing'";
        let begun =
            self.connection.query_row(begun, [], |row| Ok(Begun { number: row.get(0)?, name: row.get(1)? }));
        let sealed = match begun.optional()? {
            Some(begun) => {
                let sealed = self.write_and_mark(&begun);
                Some(self.cleaned(sealed)?)
            }
            None => None,
        };
        self.delete_sealed()?;
        Ok(sealed)
    }

    /// Seals the oldest batches, of about `size` bytes together. Returns the segment; `None` if there are no rows.
    ///
    /// # Errors
    /// The files or the store can't be written. What was begun is completed by [`Self::recover`].
    pub fn seal(&mut self, size: u64) -> Result<Option<Sealed>, Error> {
        let Some(begun) = self.begin(size)? else { return Ok(None) };
        let sealed = self.write_and_mark(&begun);
        let sealed = self.cleaned(sealed)?;
        self.delete_sealed()?;
        Ok(Some(sealed))
    }

    /// Notes which rows are sealed. From now on the writer of the store leaves their batches alone.
    fn begin(&mut self, size: u64) -> Result<Option<Begun>, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(cut) = cut(&transaction, size)? else { return Ok(None) };
        let (mut first, mut last, mut rows) = (i64::MAX, i64::MIN, 0);
        for stream in self.reader.streams(&transaction)? {
            let batches = self.reader.batches(&transaction, stream.id, i64::MIN, i64::MAX)?;
            let unsealed: Vec<&Batch> = batches.iter().filter(|batch| !batch.is_sealed()).collect();
            // Batches before one that is due are due, too, although the clock was set back after them.
            let due = unsealed.iter().rposition(|batch| batch.first <= cut).map_or(0, |last| last + 1);
            let mut closed = None;
            for batch in &unsealed[..due] {
                closed = Some(batch.last_id + 1);
                (first, last, rows) = (first.min(batch.first), last.max(batch.last), rows + batch.rows);
            }
            if let Some(closed) = closed {
                transaction.execute(
                    "INSERT INTO sealing VALUES (?1, ?2, 0) ON CONFLICT (stream) DO UPDATE SET closed = ?2",
                    params![stream.id, closed],
                )?;
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let begun = Begun::new(&transaction, &self.folder, State::Sealing, (first, last), rows)?;
        transaction.commit()?;
        Ok(Some(begun))
    }

    fn write_and_mark(&mut self, begun: &Begun) -> Result<Sealed, Error> {
        let mut files = Files::default();
        let unfinished = self.folder.unfinished(&begun.name);
        folder::make(&unfinished)?;
        for (stream, batches) in self.closed()? {
            files.write(&self.reader, self.connection, &unfinished, (&stream, batches))?;
        }
        for (batch, damage) in &files.damaged {
            keep_damaged(self.connection, batch, &unfinished.join(&damage.file))?;
        }
        let mut manifest = Manifest::begin(self.connection, &begun.name)?;
        files.describe(&mut manifest);
        let hash = self.publish(&manifest)?;
        let bytes = manifest.files.iter().map(|file| file.bytes).sum();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        mark(&transaction, begun.number, &files, &hash, bytes)?;
        transaction.execute("UPDATE sealing SET sealed = closed", [])?;
        for (_, damage) in &files.damaged {
            append(&transaction, &damage.collector_id, &[damage.row(&self.moment)])?;
        }
        transaction.commit()?;
        let damaged = files.damaged.into_iter().map(|(_, damage)| damage).collect();
        Ok(Sealed { name: begun.name.clone(), rows: manifest.rows, bytes, damaged })
    }

    /// Returns the batches of each stream that are closed and not sealed.
    fn closed(&self) -> Result<Vec<(Stream, Vec<Batch>)>, Error> {
        let mut closed = Vec::new();
        for stream in self.reader.streams(self.connection)? {
            let until = "SELECT closed FROM sealing WHERE stream = ?";
            let until =
                self.connection.query_row(until, [stream.id], |row| row.get::<_, i64>(0)).optional()?;
            let mut batches = self.reader.batches(self.connection, stream.id, i64::MIN, i64::MAX)?;
            batches.retain(|batch| !batch.is_sealed() && until.is_some_and(|until| batch.first_id < until));
            if !batches.is_empty() {
                closed.push((stream, batches));
            }
        }
        Ok(closed)
    }

    /// Writes the manifest and gives the folder its name; returns the manifest's hash.
    pub(super) fn publish(&self, manifest: &Manifest) -> Result<String, Error> {
        let unfinished = self.folder.unfinished(&manifest.name);
        let hash = manifest.write(&unfinished)?;
        self.folder.open_unfinished(&unfinished)?;
        folder::sync(&unfinished)?;
        if identity(self.connection) != self.file {
            let path = self.connection.path().unwrap_or_default();
            let cause = std::io::Error::other("the store's file was removed or replaced meanwhile");
            return Err(Error::io("seal rows of", Path::new(path))(cause));
        }
        let path = self.folder.segment(&manifest.name);
        std::fs::rename(&unfinished, &path).map_err(Error::io("rename to", &path))?;
        folder::sync(self.folder.path())?;
        Ok(hash)
    }

    /// Gives the room back that failed work has taken: what is left may be the last of the disk. The next process does the work again.
    pub(super) fn cleaned<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if done.is_err() {
            // If that fails, too, the first reason is the one to know, and `recover` does it.
            let _ = self.folder.clean().and_then(|()| Begun::drop_unmarked(self.connection, &self.folder));
        }
        done
    }

    /// Moves the files of pruned and merged segments away; their manifests stay. The table `part` keeps its rows until that is done, so
    /// that the next process completes it.
    pub(super) fn remove_files(&self) -> Result<(), Error> {
        let sql = format!("SELECT number, name FROM segment WHERE {UNREMOVED}");
        let mut left = self.connection.prepare(&sql)?;
        let left = left.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        for (number, name) in left.collect::<rusqlite::Result<Vec<_>>>()? {
            self.folder.remove_files(&name)?;
            self.connection.execute("DELETE FROM part WHERE segment = ?", [number])?;
        }
        Ok(())
    }

    /// Deletes the batches whose rows are sealed, a few in each transaction.
    fn delete_sealed(&mut self) -> Result<(), Error> {
        let sql = "DELETE FROM batch WHERE number IN (SELECT number FROM batch JOIN sealing USING (stream)
                   WHERE first_id < sealed LIMIT ?)";
        while self.connection.execute(sql, [PIECE])? == PIECE as usize {}
        self.give_back()
    }

    /// Gives free pages of the file back to the file system, some in each transaction.
    fn give_back(&self) -> Result<(), Error> {
        let free = || self.connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
        let mut left = free()?;
        while left > FREE_PAGES {
            self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            let now = free()?;
            // Files of version 1 can't give any back.
            if now >= left {
                break;
            }
            left = now;
        }
        Ok(())
    }
}

/// Returns device and inode of the file that the path of the connection leads to.
fn identity(connection: &Connection) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(connection.path()?).ok()?;
    Some((found.dev(), found.ino()))
}

/// Notes in a transaction that the rows of a segment are read from its files.
pub(super) fn mark(
    connection: &Connection,
    segment: i64,
    files: &Files,
    hash: &str,
    bytes: u64,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for (stream, file, parts) in &files.parts {
        for (row_group, part) in (0_u32..).zip(parts) {
            let Part { first_id, last_id, rows, first, last } = *part;
            insert
                .execute(params![segment, stream, file, row_group, first_id, last_id, rows, first, last])?;
        }
    }
    let rows: i64 = files.files.iter().map(|file| file.rows).sum();
    connection.execute(
        "UPDATE segment SET state = ?, rows = ?, bytes = ?, manifest = ? WHERE number = ?",
        params![State::Sealed.as_str(), rows, bytes.cast_signed(), hash, segment],
    )?;
    Ok(())
}

/// Returns the time until which batches of about `size` bytes begin, the oldest first; `None` if there are none.
fn cut(connection: &Connection, size: u64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT first, length(data) FROM batch LEFT JOIN sealing USING (stream)
               WHERE first_id >= ifnull(sealed, 0) ORDER BY first";
    let (mut batches, mut cut, mut sum) = (connection.prepare(sql)?, None, 0);
    let batches =
        batches.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    for batch in batches {
        let (first, bytes) = batch?;
        cut = Some(first);
        sum += bytes;
        if sum >= size {
            break;
        }
    }
    Ok(cut)
}
