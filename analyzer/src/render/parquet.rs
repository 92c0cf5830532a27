//! Rows as a Parquet file. A column has the type that its table declares; if none is declared, it has that of its values. In SQLite
//! a value can have another type than its column. If one does, the statement is run again, and the column gets a type that all
//! values read so far fit.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _};
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::format::RenderError;
use super::json;
use crate::rows::Shown;
use crate::{Answer, Cell, Row};

/// Number of rows that are in memory at a time.
const ROWS: usize = 4096;
/// Size of the values in memory, in bytes, at which rows are written although there are fewer than [`ROWS`].
const BYTES: usize = 4 << 20;
/// Largest number of rows of a row group.
const GROUP_ROWS: usize = 128 << 10;
/// Memory that a row group may take, in bytes.
const GROUP_BYTES: usize = 32 << 20;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No value is known yet.
    Unknown,
    Integer,
    Real,
    Bytes,
    Text,
}

/// Writes an answer into an empty file; returns the number of rows.
///
/// # Errors
/// When the store can't be read or the file can't be written.
pub fn rows(answer: &mut Answer<'_>, file: &File) -> Result<u64, RenderError> {
    let columns = answer.columns().to_vec();
    let mut kinds: Vec<Kind> = columns.iter().map(Kind::declared).collect();
    // This ends: with each attempt a column gets a wider type, and there are few types.
    loop {
        if let Some(count) = attempt(answer, &columns, &mut kinds, file)? {
            return Ok(count);
        }
        let mut file = file;
        file.set_len(0).and_then(|()| file.rewind())?;
    }
}

/// Writes the rows; returns `None` if a later row does not fit the types, after widening them.
fn attempt(
    answer: &mut Answer<'_>,
    columns: &[Shown],
    kinds: &mut [Kind],
    file: &File,
) -> Result<Option<u64>, RenderError> {
    let (mut piece, mut bytes, mut count) = (Vec::new(), 0, 0);
    let mut output: Option<Output<'_>> = None;
    let mut rows = answer.rows()?;
    loop {
        let row = rows.next().transpose()?;
        let is_last = row.is_none();
        if let Some(row) = row {
            bytes += row.cells.iter().map(size).sum::<usize>();
            piece.push(row);
            count += 1;
        }
        if !is_last && piece.len() < ROWS && bytes < BYTES {
            continue;
        }
        piece.iter().for_each(|row| widen(kinds, row));
        let output = match &mut output {
            Some(output) if !output.fits(kinds) => return Ok(None),
            Some(output) => output,
            none => none.insert(Output::begin(columns, kinds, file)?),
        };
        output.write(&piece, kinds)?;
        piece.clear();
        bytes = 0;
        if is_last {
            break;
        }
    }
    if let Some(output) = output {
        output.writer.into_inner().map_err(failed)?.into_inner().map_err(io::IntoInnerError::into_error)?;
    }
    Ok(Some(count))
}

/// A file that is being written.
struct Output<'a> {
    schema: SchemaRef,
    writer: ArrowWriter<BufWriter<&'a File>>,
}

impl<'a> Output<'a> {
    fn begin(columns: &[Shown], kinds: &[Kind], file: &'a File) -> Result<Self, RenderError> {
        let fields =
            columns.iter().zip(kinds).map(|(column, kind)| Field::new(&column.name, kind.arrow(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("duetector-actors version {}", env!("CARGO_PKG_VERSION")))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(BufWriter::new(file), schema.clone(), Some(properties));
        Ok(Self { schema, writer: writer.map_err(failed)? })
    }

    fn fits(&self, kinds: &[Kind]) -> bool {
        self.schema.fields().iter().zip(kinds).all(|(field, kind)| *field.data_type() == kind.arrow())
    }

    fn write(&mut self, rows: &[Row], kinds: &[Kind]) -> Result<(), RenderError> {
        let arrays = kinds.iter().enumerate();
        let arrays =
            arrays.map(|(index, kind)| kind.array(rows.iter().map(|row| &row.cells[index]))).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(failed)?;
        if self.writer.in_progress_size() >= GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(cause: ParquetError) -> io::Error {
    io::Error::other(cause)
}

fn widen(kinds: &mut [Kind], row: &Row) {
    for (kind, cell) in kinds.iter_mut().zip(&row.cells) {
        *kind = kind.with(Kind::of(cell));
    }
}

fn size(cell: &Cell) -> usize {
    16 + match cell {
        Cell::Text(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

impl Kind {
    fn declared(column: &Shown) -> Self {
        let known =
            [("INTEGER", Self::Integer), ("REAL", Self::Real), ("BLOB", Self::Bytes), ("TEXT", Self::Text)];
        // Tables of other programs may declare anything.
        let found = known.iter().find(|(name, _)| Some(*name) == column.declared.as_deref());
        found.map_or(Self::Unknown, |(_, kind)| *kind)
    }

    fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Null => Self::Unknown,
            Cell::Integer(_) => Self::Integer,
            Cell::Real(_) => Self::Real,
            Cell::Bytes(_) => Self::Bytes,
            Cell::Text(_) | Cell::Time(_) | Cell::Json(_) => Self::Text,
        }
    }

    /// Returns the type of a column that has values of both types.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, Self::Unknown) => one,
            (Self::Unknown, other) => other,
            (one, other) if one == other => one,
            (Self::Integer, Self::Real) | (Self::Real, Self::Integer) => Self::Real,
            _ => Self::Text,
        }
    }

    fn arrow(self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Bytes => DataType::Binary,
            // A column that has only nulls can have any type.
            Self::Unknown | Self::Text => DataType::Utf8,
        }
    }

    /// Returns the values of a column, all of which fit this type.
    fn array<'a>(self, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
        match self {
            Self::Integer => Arc::new(Int64Array::from_iter(cells.map(|cell| match cell {
                Cell::Integer(number) => Some(*number),
                _ => None,
            }))),
            Self::Real => Arc::new(Float64Array::from_iter(cells.map(|cell| match cell {
                Cell::Integer(number) => Some(*number as f64),
                Cell::Real(number) => Some(*number),
                _ => None,
            }))),
            Self::Bytes => Arc::new(BinaryArray::from_iter(cells.map(|cell| match cell {
                Cell::Bytes(bytes) => Some(bytes.as_slice()),
                _ => None,
            }))),
            Self::Unknown | Self::Text => Arc::new(StringArray::from_iter(cells.map(text))),
        }
    }
}

/// Returns a value as the text formats print it.
fn text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(text.clone()),
        Cell::Bytes(bytes) => Some(model::text::hex(bytes)),
        other => Some(json::text(other)),
    }
}
