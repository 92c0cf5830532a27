//! Reads row groups of sealed files.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampNanosecondType;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use model::schema::Column;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;

use super::Folder;
use super::file::WITH_FILTER;
use crate::ipc::caught;
use crate::sought::Sought;

/// Number of files whose metadata are kept.
const KEPT: usize = 32;

/// The sealed files of a store, opened when they are needed.
#[derive(Debug, Default)]
pub(crate) struct SealedFiles {
    /// Metadata of files that were read last, the latest last.
    known: RefCell<Vec<(String, ArrowReaderMetadata)>>,
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

impl SealedFiles {
    /// Reads the rows of a row group from `since` to `until`: the columns for whose names `wants` is true.
    pub(crate) fn rows(
        &self,
        folder: &Folder,
        unit: &Unit,
        wants: &dyn Fn(&str) -> bool,
        (since, until): (i64, i64),
    ) -> Result<RecordBatch, ArrowError> {
        let selection = if (since, until) == (i64::MIN, i64::MAX) {
            None
        } else {
            let times = self.read(folder, unit, &|name| name == Column::Time.name(), None)?;
            Some(within(&times, since, until)?)
        };
        self.read(folder, unit, wants, selection)
    }

    /// Returns whether a row group may have a row whose column `name` has this value. False only if there is none.
    pub(crate) fn may_have(
        &self,
        folder: &Folder,
        unit: &Unit,
        name: &str,
        value: &Sought,
    ) -> Result<bool, ArrowError> {
        if !WITH_FILTER.contains(&name) {
            return Ok(true);
        }
        let (file, metadata) = self.open(folder, unit)?;
        let Some(index) = (0..metadata.parquet_schema().num_columns())
            .find(|index| metadata.parquet_schema().column(*index).path().string() == name)
        else {
            return Ok(false);
        };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let filter =
            caught(|| Ok(reader.get_row_group_column_bloom_filter(unit.row_group as usize, index)?))?;
        Ok(filter.is_none_or(|filter| match value {
            Sought::Text(text) => filter.check(text.as_str()),
            Sought::Bytes(bytes) => filter.check(bytes.as_slice()),
            Sought::Int(number) => filter.check(number),
        }))
    }

    /// Returns the columns of the file.
    pub(crate) fn schema(&self, folder: &Folder, unit: &Unit) -> Result<SchemaRef, ArrowError> {
        Ok(self.open(folder, unit)?.1.schema().clone())
    }

    fn read(
        &self,
        folder: &Folder,
        unit: &Unit,
        wants: &dyn Fn(&str) -> bool,
        selection: Option<RowSelection>,
    ) -> Result<RecordBatch, ArrowError> {
        let (file, metadata) = self.open(folder, unit)?;
        let schema = metadata.schema().clone();
        let wanted = schema.fields().iter().enumerate().filter(|(_, field)| wants(field.name()));
        let wanted = ProjectionMask::roots(metadata.parquet_schema(), wanted.map(|(index, _)| index));
        caught(move || {
            let row_group = unit.row_group as usize;
            if metadata.metadata().num_row_groups() <= row_group {
                return Err(ArrowError::ParquetError("the file has fewer row groups".to_owned()));
            }
            let rows = usize::try_from(metadata.metadata().row_group(row_group).num_rows());
            let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_row_groups(vec![row_group])
                .with_batch_size(rows.unwrap_or_default().max(1))
                .with_projection(wanted);
            if let Some(selection) = selection {
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

    fn open(&self, folder: &Folder, unit: &Unit) -> Result<(File, ArrowReaderMetadata), ArrowError> {
        let file = folder.open(&unit.segment, &unit.file)?;
        let name = format!("{}/{}", unit.segment, unit.file);
        let mut known = self.known.borrow_mut();
        if let Some(index) = known.iter().position(|(known, _)| *known == name) {
            let entry = known.remove(index);
            let metadata = entry.1.clone();
            known.push(entry);
            return Ok((file, metadata));
        }
        let metadata = metadata(&file)?;
        if known.len() == KEPT {
            known.remove(0);
        }
        known.push((name, metadata.clone()));
        Ok((file, metadata))
    }
}

/// Reads the metadata at the end of a file.
pub(crate) fn metadata(file: &File) -> Result<ArrowReaderMetadata, ArrowError> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    caught(|| Ok(ArrowReaderMetadata::load(file, options)?))
}

/// Returns the rows of a row group from `since` to `until`; its rows are in order of time.
fn within(times: &RecordBatch, since: i64, until: i64) -> Result<RowSelection, ArrowError> {
    let times = times.column_by_name(Column::Time.name());
    let times = times.and_then(|times| times.as_primitive_opt::<TimestampNanosecondType>());
    let times = times.ok_or_else(|| ArrowError::ParquetError("the file has no column time".to_owned()))?;
    let values = times.values();
    let start = values.partition_point(|at| *at < since);
    let end = values.partition_point(|at| *at <= until).max(start);
    Ok(RowSelection::from_consecutive_ranges(std::iter::once(start..end), values.len()))
}
