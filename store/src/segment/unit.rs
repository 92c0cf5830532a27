//! Reads row groups of sealed files.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;

use super::at_once::AtOnce;
use super::{Folder, narrow};
use crate::ipc::caught;
use crate::layout::ID;
use crate::matching::rows_of;
use crate::selected::{Outcome, Selected, checked};
use crate::sought::Selection;

/// Number of files whose metadata are kept in memory. The files are not kept open, so that retention can give their room back. Rows
/// are read in order of time, so few files are read at a time.
const KEPT: usize = 8;

/// Only the pages with selected rows are read from the disk if less than one row of so many is selected.
const FEW: usize = 8;

/// The sealed files of a store, opened when they are needed.
#[derive(Debug, Default)]
pub(crate) struct SealedFiles {
    /// Metadata of the files that were read last, the latest last.
    known: RefCell<Vec<Known>>,
}

/// The metadata of a file.
#[derive(Debug)]
struct Known {
    segment: Arc<str>,
    name: Arc<str>,
    metadata: ArrowReaderMetadata,
}

/// A row group of a sealed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Name of the segment.
    pub(crate) segment: Arc<str>,
    /// Name of the file in its folder.
    pub(crate) file: Arc<str>,
    /// Number of the row group in the file.
    pub(crate) row_group: u32,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row group {} of {}/{}/{}", self.row_group, super::SEGMENTS, self.segment, self.file)
    }
}

/// Rows of a row group.
struct Rows {
    selection: RowSelection,
    are_few: bool,
}

impl SealedFiles {
    /// Reads the selected rows of a row group: the columns for whose names `wants` is true. The row group must have `rows` rows.
    pub(crate) fn select(
        &self,
        folder: &Folder,
        unit: &Unit,
        (rows, wants): (i64, &dyn Fn(&str) -> bool),
        selection: &Selection,
    ) -> Result<Selected, ArrowError> {
        let wants = &|name: &str| name == ID || wants(name);
        let (file, metadata) = self.open(folder, unit)?;
        if metadata.metadata().num_row_groups() <= unit.row_group as usize {
            return Err(ArrowError::ParquetError("the file has fewer row groups".to_owned()));
        }
        if selection.is_all() {
            return Ok((Outcome::Read, Some(checked(read(file, metadata, unit, wants, None)?, rows)?)));
        }
        if !caught(|| narrow::may_have(&file, &metadata, unit.row_group as usize, &selection.conditions))? {
            return Ok((Outcome::Skipped, None));
        }
        let tests = |name: &str| selection.reads(name);
        let tested = checked(read(file.try_clone()?, metadata.clone(), unit, &tests, None)?, rows)?;
        let selected = rows_of(selection, &tested);
        if selected.is_empty() {
            return Ok((Outcome::Tested, None));
        }
        let count: usize = selected.iter().map(std::ops::Range::len).sum();
        let of = tested.num_rows();
        let selection = RowSelection::from_consecutive_ranges(selected.into_iter(), of);
        let selected = Rows { selection, are_few: count * FEW < of };
        let read = read(file, metadata, unit, wants, Some(selected))?;
        Ok((Outcome::Read, Some(checked(read, count as i64)?)))
    }

    /// Returns whether a row group may have a row with this field.
    pub(crate) fn may_have_field(
        &self,
        folder: &Folder,
        unit: &Unit,
        name: &str,
    ) -> Result<bool, ArrowError> {
        let (_, metadata) = self.open(folder, unit)?;
        let group = metadata.metadata().row_groups().get(unit.row_group as usize);
        Ok(group.is_none_or(|group| narrow::may_have_field(group, name)))
    }

    /// Returns the columns of the file.
    pub(crate) fn schema(&self, folder: &Folder, unit: &Unit) -> Result<SchemaRef, ArrowError> {
        Ok(self.open(folder, unit)?.1.schema().clone())
    }

    fn open(&self, folder: &Folder, unit: &Unit) -> Result<(File, ArrowReaderMetadata), ArrowError> {
        let file = folder.open(&unit.segment, &unit.file)?;
        let mut known = self.known.borrow_mut();
        let is_it = |known: &Known| known.name == unit.file && known.segment == unit.segment;
        let found = match known.iter().position(is_it) {
            Some(index) => known.remove(index),
            None => {
                let metadata = metadata(&file)?;
                if known.len() == KEPT {
                    known.remove(0);
                }
                Known { segment: unit.segment.clone(), name: unit.file.clone(), metadata }
            }
        };
        let metadata = found.metadata.clone();
        known.push(found);
        Ok((file, metadata))
    }
}

fn read(
    file: File,
    metadata: ArrowReaderMetadata,
    unit: &Unit,
    wants: &dyn Fn(&str) -> bool,
    rows: Option<Rows>,
) -> Result<RecordBatch, ArrowError> {
    let schema = metadata.schema().clone();
    let wanted = schema.fields().iter().enumerate().filter(|(_, field)| wants(field.name()));
    let wanted = ProjectionMask::roots(metadata.parquet_schema(), wanted.map(|(index, _)| index));
    caught(move || {
        let row_group = unit.row_group as usize;
        let group = metadata.metadata().row_group(row_group);
        let size = usize::try_from(group.num_rows()).unwrap_or_default().max(1);
        let file = match &rows {
            Some(Rows { are_few: true, .. }) => AtOnce::later(file),
            _ => AtOnce::read(file, group, &wanted)?,
        };
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_row_groups(vec![row_group])
            .with_batch_size(size)
            .with_projection(wanted);
        if let Some(Rows { selection, .. }) = rows {
            reader = reader.with_row_selection(selection);
        }
        let reader = reader.build()?;
        let schema = arrow_array::RecordBatchReader::schema(&reader);
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        match <[RecordBatch; 1]>::try_from(batches) {
            Ok([one]) => Ok(one),
            Err(several) => concat_batches(&schema, &several),
        }
    })
}

/// Reads the metadata at the end of a file.
pub(crate) fn metadata(file: &File) -> Result<ArrowReaderMetadata, ArrowError> {
    // Positions of pages are read, to find the pages; statistics of pages are not.
    let options = ArrowReaderOptions::new()
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    caught(|| Ok(ArrowReaderMetadata::load(file, options)?))
}
