//! Goes on with the segments of a file that was lost: checks their files, and makes their rows readable.

use std::io::{self, Seek as _};

use model::LOSS;
use model::schema::Column;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use rusqlite::{TransactionBehavior, params};

use super::State;
use super::file::{Part, sha256_of};
use super::files::Files;
use super::found::stream_id;
use super::manifest::{Manifest, ManifestFile, store_id};
use super::notes::{Damage, lost_with_the_file};
use super::seal::{Sealer, mark};
use super::unit::metadata;
use crate::Error;
use crate::layout::ID;
use crate::write::append;

/// The result of going on with segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Names of the segments whose rows are readable now.
    pub segments: Vec<String>,
    /// Number of their rows.
    pub rows: i64,
    /// Names of the segments that are not as they were written, with the reason. They are left alone, and their rows count as lost
    /// if their manifests are right.
    pub refused: Vec<(String, String)>,
}

/// A segment that the store's file lists, and whose own files were not checked yet.
struct Listed {
    number: i64,
    name: String,
    hash: String,
}

impl Sealer<'_> {
    /// Goes on with segments that were found beside a new file.
    ///
    /// # Errors
    /// The store can't be written. The next process goes on.
    pub fn adopt(&mut self) -> Result<Adopted, Error> {
        let mut adopted = Adopted::default();
        let sql = "SELECT number, name, manifest FROM segment WHERE state = ? ORDER BY number";
        let mut statement = self.connection.prepare(sql)?;
        let listed = statement.query_map([State::Found.as_str()], |row| {
            Ok(Listed { number: row.get(0)?, name: row.get(1)?, hash: row.get(2)? })
        })?;
        let listed = listed.collect::<rusqlite::Result<Vec<_>>>()?;
        drop(statement);
        if listed.is_empty() {
            return Ok(adopted);
        }
        for segment in &listed {
            match self.check(segment) {
                Ok((manifest, files)) => {
                    let transaction =
                        self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    let bytes = manifest.files.iter().map(|file| file.bytes).sum();
                    mark(&transaction, segment.number, &files, &segment.hash, bytes)?;
                    transaction.commit()?;
                    adopted.rows += manifest.rows;
                    adopted.segments.push(segment.name.clone());
                    for replaced in &manifest.replaces {
                        self.folder.remove_files(&replaced.name)?;
                    }
                }
                Err(cause) => {
                    self.refuse(segment, &cause)?;
                    adopted.refused.push((segment.name.clone(), cause));
                }
            }
        }
        self.note_the_loss(&adopted.segments)?;
        Ok(adopted)
    }

    /// Checks a segment's files; returns its description and its row groups.
    fn check(&self, segment: &Listed) -> Result<(Manifest, Files), String> {
        let (manifest, hash) = Manifest::read(&self.folder.segment(&segment.name))
            .map_err(|error| format!("its segment.json can't be read: {error}"))?;
        if hash != segment.hash {
            return Err("its segment.json was altered".to_owned());
        }
        let mut files = Files::default();
        for file in &manifest.files {
            let parts =
                self.parts_of_file(&segment.name, file).map_err(|error| format!("{}: {error}", file.file))?;
            let stream = stream_id(self.connection, (&file.tracer, &file.collector_id));
            let stream = stream.map_err(|error| error.to_string())?;
            files.parts.push((stream, file.file.clone(), parts));
        }
        files.files.clone_from(&manifest.files);
        Ok((manifest, files))
    }

    /// Checks that a file is as it was written; returns its row groups.
    fn parts_of_file(&self, segment: &str, file: &ManifestFile) -> io::Result<Vec<Part>> {
        let mut open = self.folder.open(segment, &file.file)?;
        let (hash, bytes) = sha256_of(&mut open)?;
        if (hash.as_str(), bytes) != (file.sha256.as_str(), file.bytes) {
            return Err(io::Error::other("its hash is not the one in segment.json"));
        }
        open.rewind()?;
        let metadata = metadata(&open).map_err(io::Error::other)?;
        parts(metadata.metadata()).ok_or_else(|| io::Error::other("it has no statistics"))
    }

    /// Takes a segment off the list, and counts its rows as lost if its manifest is right.
    fn refuse(&mut self, segment: &Listed, cause: &str) -> Result<(), Error> {
        let files = Manifest::read(&self.folder.segment(&segment.name));
        let files =
            files.ok().filter(|(_, hash)| *hash == segment.hash).map_or(Vec::new(), |(it, _)| it.files);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let span = "DELETE FROM segment WHERE number = ? RETURNING first, last";
        let span = transaction.query_row(span, [segment.number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for file in files {
            let damage = Damage {
                file: format!("{}/{}", segment.name, file.file),
                tracer: file.tracer,
                collector_id: file.collector_id,
                rows: file.rows,
                span,
                cause: cause.to_owned(),
            };
            append(&transaction, &damage.collector_id, &[damage.row(&self.moment)])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Writes `loss` rows that say since when rows are missing that were lost with a file of an earlier run: since the last sealed row.
    /// The present run counts the rows that it loses.
    fn note_the_loss(&mut self, segments: &[String]) -> Result<(), Error> {
        let Some(last) = segments.last() else { return Ok(()) };
        let id = store_id(self.connection)?;
        let manifest = Manifest::read(&self.folder.segment(last));
        if manifest.is_ok_and(|(manifest, _)| manifest.store == id) {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT tracer, collector_id, max(part.last),
                   (SELECT min(first) FROM batch WHERE first > (SELECT max(last) FROM part))
                   FROM part JOIN stream ON stream.id = part.stream WHERE tracer <> ? GROUP BY stream.id";
        let mut rows = Vec::new();
        let mut streams = transaction.prepare(sql)?;
        let mut found = streams.query(params![LOSS])?;
        while let Some(row) = found.next()? {
            let (tracer, collector_id): (String, String) = (row.get(0)?, row.get(1)?);
            let until = row.get::<_, Option<i64>>(3)?.unwrap_or(self.moment.utc_ns);
            rows.push((collector_id, lost_with_the_file(&tracer, (row.get(2)?, until), &self.moment)));
        }
        drop(found);
        drop(streams);
        for (collector_id, row) in rows {
            append(&transaction, &collector_id, &[row])?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Returns the row groups of a file, from its statistics.
fn parts(metadata: &ParquetMetaData) -> Option<Vec<Part>> {
    metadata.row_groups().iter().map(part).collect()
}

fn part(group: &RowGroupMetaData) -> Option<Part> {
    let span = |name: &str| {
        let column = group.columns().iter().find(|column| column.column_path().string() == name)?;
        match column.statistics()? {
            Statistics::Int64(values) => Some((*values.min_opt()?, *values.max_opt()?)),
            _ => None,
        }
    };
    let ((first_id, last_id), (first, last)) = (span(ID)?, span(Column::Time.name())?);
    Some(Part { first_id, last_id, rows: group.num_rows(), first, last })
}
