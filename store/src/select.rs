//! Reads the rows of a batch: all of them, or those that are selected. For a selection, the statistics and bloom filters of a sealed
//! file are read first, then the columns that the selection tests. The other columns are read only if some row is selected.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use rusqlite::Connection;

use crate::decode::BatchRows;
use crate::ipc::{read_batch, read_schema, with_values};
use crate::layout::ID;
use crate::matching::rows_of;
use crate::read::{Batch, Reader, Source, check_crc};
use crate::segment::Folder;
use crate::selected::{Outcome, Selected, checked};
use crate::sought::Selection;
use crate::{Error, format};

impl Reader {
    /// Reads the rows of a batch: all columns, or those for whose names `wants` is true.
    ///
    /// # Errors
    /// SQLite can't read the file, or the batch is damaged or missing.
    pub fn rows(
        &self,
        connection: &Connection,
        batch: &Batch,
        wants: impl Fn(&str) -> bool,
    ) -> Result<BatchRows, Error> {
        self.select(connection, batch, wants, &Selection::default())
    }

    /// Reads the selected rows of a batch, and no others.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn select(
        &self,
        connection: &Connection,
        batch: &Batch,
        wants: impl Fn(&str) -> bool,
        selection: &Selection,
    ) -> Result<BatchRows, Error> {
        let read = self.read(connection, batch, &wants, &selection.within(batch.first, batch.last))?;
        Ok(BatchRows::new(&read, batch.first_id))
    }

    /// Returns whether a batch may have a row with this field. The result is false only if statistics of a sealed file say that there
    /// is none.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn may_have_field(&self, connection: &Connection, batch: &Batch, name: &str) -> Result<bool, Error> {
        let Source::Sealed(unit) = &batch.source else { return Ok(true) };
        let found = self.files.may_have_field(&Folder::of(connection), unit, name);
        found.map_err(|source| Error::Decode { what: batch.name(), source })
    }

    /// Reads the columns of a batch. If rows have other numbers than those that follow `first_id`, there is a column `id`.
    pub(crate) fn read(
        &self,
        connection: &Connection,
        batch: &Batch,
        wants: &dyn Fn(&str) -> bool,
        selection: &Selection,
    ) -> Result<RecordBatch, Error> {
        let failed = |source| Error::Decode { what: batch.name(), source };
        let read = match &batch.source {
            Source::Unsealed { number, layout } => {
                let encoded = self.encoded(connection, *number, *layout)?;
                let read = encoded.select(batch.rows, wants, (selection, batch.first_id));
                read.map_err(failed)?
            }
            Source::Sealed(unit) => self
                .files
                .select(&Folder::of(connection), unit, (batch.rows, wants), selection)
                .map_err(failed)?,
        };
        Ok(self.counted(read))
    }

    /// Counts how a batch was read; returns its rows.
    pub(crate) fn counted(&self, (outcome, read): Selected) -> RecordBatch {
        self.reads.count(outcome);
        read.unwrap_or_else(|| RecordBatch::new_empty(Arc::new(Schema::empty())))
    }

    /// Returns the columns of a batch.
    pub(crate) fn schema(&self, connection: &Connection, batch: &Batch) -> Result<SchemaRef, Error> {
        let schema = match &batch.source {
            Source::Unsealed { layout, .. } => read_schema(&self.layout(connection, *layout)?),
            Source::Sealed(unit) => self.files.schema(&Folder::of(connection), unit),
        };
        schema.map_err(|source| Error::Decode { what: batch.name(), source })
    }

    /// Returns the names of the columns in which some row of a batch may have a value.
    pub(crate) fn columns_with_values(
        &self,
        connection: &Connection,
        batch: &Batch,
    ) -> Result<Vec<String>, Error> {
        let schema = self.schema(connection, batch)?;
        let is_used = match &batch.source {
            Source::Unsealed { number, layout } => {
                let encoded = self.encoded(connection, *number, *layout)?;
                let found = with_values(&schema, &encoded.data);
                found.map_err(|source| Error::Decode { what: batch.name(), source })?
            }
            // A sealed file has no column for a field in which no row has a value.
            Source::Sealed(_) => vec![true; schema.fields().len()],
        };
        let used = schema.fields().iter().zip(is_used).filter(|(_, is_used)| *is_used);
        Ok(used.map(|(field, _)| field.name().clone()).collect())
    }

    fn encoded(&self, connection: &Connection, number: i64, layout: i64) -> Result<Encoded, Error> {
        let message = self.layout(connection, layout)?.to_vec();
        let has_crc = format::version(connection)? >= 2;
        let sql = if has_crc {
            "SELECT data, crc FROM batch WHERE number = ?"
        } else {
            "SELECT data, NULL FROM batch WHERE number = ?"
        };
        let (data, crc) =
            connection.prepare_cached(sql)?.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Encoded { message, data, crc })
    }
}

/// A batch that is not sealed, as it is stored.
struct Encoded {
    /// The message of the schema.
    message: Vec<u8>,
    data: Vec<u8>,
    crc: Option<u32>,
}

impl Encoded {
    fn select(
        &self,
        rows: i64,
        wants: &dyn Fn(&str) -> bool,
        (selection, first_id): (&Selection, i64),
    ) -> Result<Selected, ArrowError> {
        check_crc(&self.data, self.crc)?;
        if selection.is_all() {
            return Ok((Outcome::Read, Some(self.read(rows, wants)?)));
        }
        let tested = self.read(rows, &|name| selection.reads(name))?;
        let selected = rows_of(selection, &tested);
        if selected.is_empty() {
            return Ok((Outcome::Tested, None));
        }
        let read = self.read(rows, wants)?;
        let count: usize = selected.iter().map(Range::len).sum();
        let read = if count == read.num_rows() { read } else { keep(&read, &selected, first_id)? };
        Ok((Outcome::Read, Some(read)))
    }

    fn read(&self, rows: i64, wants: &dyn Fn(&str) -> bool) -> Result<RecordBatch, ArrowError> {
        let schema = read_schema(&self.message)?;
        let indexes = schema.fields().iter().enumerate().filter(|(_, field)| wants(field.name()));
        let indexes = indexes.map(|(index, _)| index).collect();
        checked(read_batch(&self.message, &self.data, Some(indexes))?, rows)
    }
}

/// Returns some rows of a batch, with a column of their numbers.
fn keep(read: &RecordBatch, selected: &[Range<usize>], first_id: i64) -> Result<RecordBatch, ArrowError> {
    let mut is_selected = vec![false; read.num_rows()];
    selected.iter().for_each(|range| is_selected[range.clone()].fill(true));
    let ids = Int64Array::from_iter_values(first_id..first_id + read.num_rows() as i64);
    let schema = read.schema();
    let id = Arc::new(Field::new(ID, ids.data_type().clone(), false));
    let fields: Vec<_> = std::iter::once(id).chain(schema.fields().iter().cloned()).collect();
    let columns: Vec<ArrayRef> =
        std::iter::once(Arc::new(ids) as ArrayRef).chain(read.columns().iter().cloned()).collect();
    let with_ids = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    filter_record_batch(&with_ids, &BooleanArray::from(is_selected))
}
