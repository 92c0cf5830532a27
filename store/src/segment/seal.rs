//! Seals rows: writes the oldest batches into a segment.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use model::LOSS;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::file::{Part, SegmentFile};
use super::folder::{self, Folder, Lock};
use super::manifest::{Manifest, ManifestDamage, ManifestFile, ManifestLoss, rfc3339};
use super::notes::Damage;
use super::order::{Group, InOrder, groups};
use super::{Moment, State};
use crate::read::{Batch, Reader, Source, Stream};
use crate::write::append;
use crate::{Error, format};

/// Number of batches that are deleted in one transaction, so that the agent never waits long for its own.
const PIECE: u32 = 16;

/// Changes the segments of a store. Only one process does that at a time.
pub struct Sealer<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) folder: Folder,
    pub(super) reader: Reader,
    pub(super) moment: Moment,
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

/// A segment that is being written.
pub(super) struct Begun {
    pub(super) number: i64,
    pub(super) name: String,
}

/// Files of a segment and the row groups in them.
#[derive(Default)]
pub(super) struct Files {
    pub(super) files: Vec<ManifestFile>,
    pub(super) parts: Vec<(i64, String, Vec<Part>)>,
    pub(super) losses: BTreeMap<String, i64>,
    pub(super) damaged: Vec<(Batch, Damage)>,
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
        Ok(Self { connection, folder, reader: Reader::default(), moment, _lock: lock })
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
        self.drop_unmarked()?;
        let begun = "SELECT number, name FROM segment WHERE state = 'sealing'";
        let begun =
            self.connection.query_row(begun, [], |row| Ok(Begun { number: row.get(0)?, name: row.get(1)? }));
        let sealed = match begun.optional()? {
            Some(begun) => Some(self.write_and_mark(&begun)?),
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
        let sealed = self.write_and_mark(&begun)?;
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
            let unsealed = batches.iter().filter(|batch| !batch.is_sealed());
            let mut closed = None;
            for batch in unsealed.take_while(|batch| batch.first <= cut) {
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
        let begun = begin_segment(&transaction, State::Sealing, (first, last), rows)?;
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
        folder::sync(&unfinished)?;
        let path = self.folder.segment(&manifest.name);
        std::fs::rename(&unfinished, &path).map_err(Error::io("rename to", &path))?;
        folder::sync(self.folder.path())?;
        Ok(hash)
    }

    /// Removes folders of segments that were given their name but not marked: they are written again.
    fn drop_unmarked(&self) -> Result<(), Error> {
        let sql = "SELECT name FROM segment WHERE state IN ('sealing', 'merging')";
        let mut names = self.connection.prepare(sql)?;
        for name in names.query_map([], |row| row.get::<_, String>(0))? {
            let path = self.folder.segment(&name?);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("delete", &path)(error));
                }
                _ => {}
            }
        }
        self.connection.execute("DELETE FROM segment WHERE state = 'merging'", [])?;
        Ok(())
    }

    /// Deletes the batches whose rows are sealed, a few in each transaction.
    fn delete_sealed(&mut self) -> Result<(), Error> {
        let sql = "DELETE FROM batch WHERE number IN (SELECT number FROM batch JOIN sealing USING (stream)
                   WHERE first_id < sealed LIMIT ?)";
        while self.connection.execute(sql, [PIECE])? == PIECE as usize {}
        Ok(())
    }
}

/// Adds a segment that is being written; its name has the first time and the number.
pub(super) fn begin_segment(
    connection: &Connection,
    state: State,
    (first, last): (i64, i64),
    rows: i64,
) -> rusqlite::Result<Begun> {
    connection.execute(
        "INSERT INTO segment (name, state, first, last, rows, bytes) VALUES ('', ?, ?, ?, ?, 0)",
        params![state.as_str(), first, last, rows],
    )?;
    let number = connection.last_insert_rowid();
    let name = name(first, number);
    connection.execute("UPDATE segment SET name = ? WHERE number = ?", params![name, number])?;
    Ok(Begun { number, name })
}

/// Returns the name of a segment: the time of its first row, UTC, and its number.
fn name(first: i64, number: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(first)).unwrap_or_default();
    format!("{}-{number}", at.strftime("%Y%m%dT%H%M%SZ"))
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

impl Files {
    /// Writes the batches of a stream.
    pub(super) fn write(
        &mut self,
        reader: &Reader,
        connection: &Connection,
        into: &Path,
        (stream, batches): (&Stream, Vec<Batch>),
    ) -> Result<(), Error> {
        let mut of_schemas = Vec::new();
        for batch in batches {
            match reader.schema(connection, &batch) {
                Ok(schema) => of_schemas.push((batch, schema)),
                Err(Error::Decode { what, source }) => {
                    self.damage(stream, batch, &format!("{what}: {source}"))
                }
                Err(other) => return Err(other),
            }
        }
        for Group { schema, batches } in groups(of_schemas) {
            let name = self.free_name(&stream.tracer);
            let path = into.join(&name);
            let mut file =
                SegmentFile::create(path.clone(), schema.clone(), &stream.tracer, &stream.collector_id)?;
            let mut rows = InOrder::new(reader, connection, schema, batches);
            while let Some(group) = rows.next()? {
                file.write(&group)?;
                if stream.tracer == LOSS {
                    self.add_losses(&group);
                }
            }
            let damaged = std::mem::take(&mut rows.damaged);
            damaged.into_iter().for_each(|(batch, cause)| self.damage(stream, batch, &cause));
            let written = file.finish()?;
            if written.parts.is_empty() {
                std::fs::remove_file(&path).map_err(Error::io("delete", &path))?;
                continue;
            }
            self.files.push(ManifestFile {
                file: name.clone(),
                tracer: stream.tracer.clone(),
                collector_id: stream.collector_id.clone(),
                rows: written.parts.iter().map(|part| part.rows).sum(),
                first_id: written.parts.iter().map(|part| part.first_id).min().unwrap_or_default(),
                last_id: written.parts.iter().map(|part| part.last_id).max().unwrap_or_default(),
                bytes: written.bytes,
                sha256: written.sha256,
            });
            self.parts.push((stream.id, name, written.parts));
        }
        Ok(())
    }

    /// Notes a batch that can't be read.
    fn damage(&mut self, stream: &Stream, batch: Batch, cause: &str) {
        let Source::Unsealed { number, .. } = &batch.source else { return };
        let damage = Damage {
            file: format!("damaged-batch-{number}"),
            tracer: stream.tracer.clone(),
            collector_id: stream.collector_id.clone(),
            rows: batch.rows,
            span: (batch.first, batch.last),
            cause: cause.to_owned(),
        };
        self.damaged.push((batch, damage));
    }

    /// Returns the name of the next file with rows of this tracer. Characters that a file's name can't have, or that shells or
    /// glob patterns treat in a special way, are replaced.
    fn free_name(&self, tracer: &str) -> String {
        let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
        let mut name: String = tracer.chars().map(|c| if plain(c) { c } else { '_' }).take(48).collect();
        if name.starts_with('.') {
            name.insert(0, '_');
        }
        let names = std::iter::once(format!("{name}.parquet"));
        let numbered = (2..).map(|number| format!("{name}.{number}.parquet"));
        let is_free = |name: &String| self.files.iter().all(|file| file.file != *name);
        names.chain(numbered).find(is_free).unwrap_or_default()
    }

    fn add_losses(&mut self, rows: &RecordBatch) {
        let tracers = rows.column_by_name("lost_tracer").and_then(|it| it.as_string_opt::<i32>());
        let counts = rows.column_by_name("count").and_then(|it| it.as_primitive_opt::<Int64Type>());
        for (tracer, count) in tracers.into_iter().flatten().zip(counts.into_iter().flatten()) {
            let sum = self.losses.entry(tracer.unwrap_or_default().to_owned()).or_default();
            *sum = sum.saturating_add(count.unwrap_or_default());
        }
    }

    /// Completes the description of the segment.
    pub(super) fn describe(&self, manifest: &mut Manifest) {
        let parts = self.parts.iter().flat_map(|(_, _, parts)| parts);
        let span =
            parts.fold((i64::MAX, i64::MIN), |span, part| (span.0.min(part.first), span.1.max(part.last)));
        (manifest.first, manifest.last) = (rfc3339(span.0), rfc3339(span.1));
        manifest.rows = self.files.iter().map(|file| file.rows).sum();
        manifest.files.clone_from(&self.files);
        manifest.damaged = self.damaged.iter().map(|(_, damage)| ManifestDamage::of(damage)).collect();
        let losses = self.losses.iter();
        manifest.losses =
            losses.map(|(tracer, count)| ManifestLoss { tracer: tracer.clone(), count: *count }).collect();
    }
}

/// Copies a batch that can't be read into a file, as it is.
fn keep_damaged(connection: &Connection, batch: &Batch, path: &Path) -> Result<(), Error> {
    let Source::Unsealed { number, layout } = &batch.source else { return Ok(()) };
    let sql = "SELECT schema, data FROM batch, layout WHERE number = ? AND id = ?";
    let parts = connection
        .query_row(sql, params![number, layout], |row| Ok([row.get::<_, Vec<u8>>(0)?, row.get(1)?]))
        .optional()?;
    let mut file = folder::create(path)?;
    std::io::Write::write_all(&mut file, &parts.unwrap_or_default().concat())
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", path))
}
