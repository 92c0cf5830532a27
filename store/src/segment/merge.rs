//! Merges small segments into a larger one, which takes less room and is read faster.

use std::collections::BTreeMap;

use rusqlite::{TransactionBehavior, params};

use super::begun::Begun;
use super::files::Files;
use super::manifest::{Manifest, Reference};
use super::seal::{Sealed, Sealer, mark};
use super::{State, folder};
use crate::Error;
use crate::read::{Batch, Source, Stream};

/// Size up to which a segment is small, in bytes.
const SMALL: i64 = 16 << 20;
/// Number of small segments that follow each other from which they are merged: with the usual age of sealing, those of a day.
const ENOUGH: usize = 24;
/// Size from which a merged segment takes no more, in bytes.
const LARGE: i64 = 64 << 20;

/// A segment that may be merged.
struct Small {
    number: i64,
    span: (i64, i64),
    rows: i64,
    bytes: i64,
    reference: Reference,
}

impl Sealer<'_> {
    /// Merges the oldest small segments, if there are enough of them. Returns the new segment.
    ///
    /// # Errors
    /// A file can't be written, or one of the segments is damaged: then they stay as they are.
    pub fn merge(&mut self) -> Result<Option<Sealed>, Error> {
        let merged = self.write_merged();
        self.cleaned(merged)
    }

    fn write_merged(&mut self) -> Result<Option<Sealed>, Error> {
        let small = self.small()?;
        if small.len() < 2 {
            return Ok(None);
        }
        let span = small
            .iter()
            .fold((i64::MAX, i64::MIN), |all, one| (all.0.min(one.span.0), all.1.max(one.span.1)));
        let rows = small.iter().map(|one| one.rows).sum();
        let begun = Begun::new(self.connection, &self.folder, State::Merging, span, rows)?;
        let unfinished = self.folder.unfinished(&begun.name);
        folder::make(&unfinished)?;
        let mut files = Files::default();
        for (stream, batches) in self.parts_of(&small)? {
            let expected: i64 = batches.iter().map(|batch| batch.rows).sum();
            let before: i64 = files.files.iter().map(|file| file.rows).sum();
            files.write(&self.reader, self.connection, &unfinished, (&stream, batches))?;
            if files.files.iter().map(|file| file.rows).sum::<i64>() != before + expected {
                return Err(Error::Foreign(format!(
                    "segments from {} on are not merged, because rows of {} can't be read; `store verify` says which",
                    small[0].reference.name, stream.tracer
                )));
            }
        }
        let mut manifest = Manifest::begin(self.connection, &begun.name)?;
        files.describe(&mut manifest);
        manifest.replaces = small.iter().map(|one| one.reference.clone()).collect();
        let hash = self.publish(&manifest)?;
        let bytes = manifest.files.iter().map(|file| file.bytes).sum();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        mark(&transaction, begun.number, &files, &hash, bytes)?;
        for one in &small {
            let merged = State::Merged.as_str();
            transaction
                .execute("UPDATE segment SET state = ? WHERE number = ?", params![merged, one.number])?;
        }
        transaction.commit()?;
        self.remove_files()?;
        Ok(Some(Sealed { name: begun.name, rows, bytes, damaged: Vec::new() }))
    }

    /// Returns the oldest small segments that follow each other, if they are enough.
    fn small(&self) -> Result<Vec<Small>, Error> {
        let sql = "SELECT number, first, last, rows, bytes, name, manifest FROM segment
                   WHERE state = 'sealed' ORDER BY first";
        let mut segments = self.connection.prepare(sql)?;
        let segments = segments.query_map([], |row| {
            Ok(Small {
                number: row.get(0)?,
                span: (row.get(1)?, row.get(2)?),
                rows: row.get(3)?,
                bytes: row.get(4)?,
                reference: Reference { name: row.get(5)?, sha256: row.get(6)? },
            })
        })?;
        let (mut found, mut sum) = (Vec::new(), 0);
        for segment in segments {
            let segment = segment?;
            if segment.bytes > SMALL || sum >= LARGE {
                if found.len() >= ENOUGH {
                    break;
                }
                (found, sum) = (Vec::new(), 0);
            }
            if segment.bytes <= SMALL {
                sum += segment.bytes;
                found.push(segment);
            }
        }
        Ok(if found.len() >= ENOUGH { found } else { Vec::new() })
    }

    /// Returns the row groups of segments, by stream.
    fn parts_of(&self, small: &[Small]) -> Result<Vec<(Stream, Vec<Batch>)>, Error> {
        let names: BTreeMap<&str, ()> = small.iter().map(|one| (one.reference.name.as_str(), ())).collect();
        let mut parts = Vec::new();
        for stream in self.reader.streams(self.connection)? {
            let mut batches = self.reader.batches(self.connection, stream.id, i64::MIN, i64::MAX)?;
            batches.retain(|batch| match &batch.source {
                Source::Sealed(unit) => names.contains_key(&*unit.segment),
                Source::Unsealed { .. } => false,
            });
            if !batches.is_empty() {
                parts.push((stream, batches));
            }
        }
        Ok(parts)
    }
}
