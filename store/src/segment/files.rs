//! Writes the files of a segment: one for each tracer and collector, or more if a column changed its type.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_schema::{Schema, SchemaRef};
use model::LOSS;
use model::schema::COLUMNS;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::file::{Part, SegmentFile};
use super::folder;
use super::manifest::{Manifest, ManifestDamage, ManifestFile, ManifestLoss, rfc3339};
use super::notes::Damage;
use super::order::{Group, InOrder, groups};
use crate::Error;
use crate::layout::{ID, Layout};
use crate::read::{Batch, Reader, Source, Stream};

/// Files of a segment and the row groups in them.
#[derive(Default)]
pub(super) struct Files {
    pub(super) files: Vec<ManifestFile>,
    pub(super) parts: Vec<(i64, String, Vec<Part>)>,
    pub(super) losses: BTreeMap<String, i64>,
    pub(super) damaged: Vec<(Batch, Damage)>,
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
        for Group { schema, batches } in groups(of_schemas, &Layout::of(&stream.tracer).row_schema()) {
            let schema = without_empty(reader, connection, schema, &batches)?;
            let name = self.free_name(&stream.tracer);
            let path = into.join(&name);
            let count = batches.iter().map(|batch| batch.rows).sum();
            let mut file = SegmentFile::create(path.clone(), schema.clone(), stream, count)?;
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

    /// Returns the name of the next file with rows of this tracer.
    fn free_name(&self, tracer: &str) -> String {
        let name = file_stem(tracer);
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

/// Returns the schema without the columns of fields in which no row of the batches has a value. Most rows have few of their tracer's
/// fields, and in a small file the description of an empty column takes more room than the values of another one.
fn without_empty(
    reader: &Reader,
    connection: &Connection,
    schema: SchemaRef,
    batches: &[Batch],
) -> Result<SchemaRef, Error> {
    let mut kept: HashSet<String> = COLUMNS.iter().map(|column| column.name().to_owned()).collect();
    kept.insert(ID.to_owned());
    for batch in batches {
        match reader.columns_with_values(connection, batch) {
            Ok(names) => kept.extend(names),
            // Its columns are known only when its rows are read.
            Err(Error::Decode { .. }) => return Ok(schema),
            Err(other) => return Err(other),
        }
    }
    let fields = schema.fields().iter().filter(|field| kept.contains(field.name())).cloned();
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Returns the name of a file with rows of this tracer, without its ending. Characters that a file's name can't have, or that shells or
/// glob patterns treat in a special way, become `_`. At most 48 characters are kept. So two tracers can have the same name.
pub fn file_stem(tracer: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let mut name: String = tracer.chars().map(|c| if plain(c) { c } else { '_' }).take(48).collect();
    // The file is not hidden, and commands do not take its name for an option.
    if name.is_empty() || name.starts_with(['.', '-']) {
        name.insert(0, '_');
    }
    name
}

/// Copies a batch that can't be read into a file, as it is.
pub(super) fn keep_damaged(connection: &Connection, batch: &Batch, path: &Path) -> Result<(), Error> {
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
