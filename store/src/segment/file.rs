//! Writes a file of a segment: the rows of one stream as Parquet.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampNanosecondType};
use arrow_schema::SchemaRef;
use model::schema::Column;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest as _, Sha256};

use super::folder;
use crate::Error;
use crate::layout::ID;
use crate::read::Stream;

/// Level of zstd's compression. Higher levels take twice the time for a twentieth less room.
const LEVEL: i32 = 3;
/// Number of rows of a page, which is what is read at least.
const PAGE_ROWS: usize = 8 << 10;
/// Columns that have a bloom filter: identities of processes and files, and paths.
const WITH_FILTER: [&str; 3] = ["exec_id", "ino", "fname"];
/// Share of values that a bloom filter takes for one that is there.
const FALSE_POSITIVES: f64 = 0.01;
/// Columns with values that mostly grow.
const GROWING: [&str; 3] = [ID, Column::Time.name(), Column::BootNs.name()];

/// A file of a segment that is being written.
pub(crate) struct SegmentFile {
    path: PathBuf,
    writer: ArrowWriter<Hashing>,
    parts: Vec<Part>,
}

/// A row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first_id: i64,
    pub(crate) last_id: i64,
    pub(crate) rows: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// A file that was written.
pub(crate) struct Written {
    pub(crate) parts: Vec<Part>,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl SegmentFile {
    /// Makes the file for the rows of a stream; `rows` is about their number.
    pub(crate) fn create(
        path: PathBuf,
        schema: SchemaRef,
        stream: &Stream,
        rows: i64,
    ) -> Result<Self, Error> {
        let file = Hashing::new(folder::create(&path)?);
        // Arrow's own description of the types says nothing more than Parquet's.
        let options = ArrowWriterOptions::new()
            .with_properties(properties(stream, &schema, rows))
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, schema, options).map_err(failed(&path))?;
        Ok(Self { path, writer, parts: Vec::new() })
    }

    /// Writes a row group, whose rows are in order of time.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let column = |name| rows.column_by_name(name);
        let times =
            column(Column::Time.name()).map(|it| it.as_primitive::<TimestampNanosecondType>().values());
        let ids = column(ID).map(|it| it.as_primitive::<Int64Type>().values());
        let (Some([first, ..]), Some(ids)) = (times.map(|times| &times[..]), ids) else { return Ok(()) };
        let last = times.and_then(|times| times.last()).unwrap_or(first);
        self.parts.push(Part {
            first_id: ids.iter().copied().min().unwrap_or_default(),
            last_id: ids.iter().copied().max().unwrap_or_default(),
            rows: rows.num_rows() as i64,
            first: *first,
            last: *last,
        });
        self.writer.write(rows).and_then(|()| self.writer.flush()).map_err(failed(&self.path))
    }

    /// Ends the file and waits until it is on the disk.
    pub(crate) fn finish(self) -> Result<Written, Error> {
        let Self { path, writer, parts } = self;
        let (file, bytes, sha256) =
            writer.into_inner().map_err(failed(&path))?.finish().map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        Ok(Written { parts, bytes, sha256 })
    }
}

fn failed(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    let path = path.to_owned();
    move |source| Error::WriteFile { path, source }
}

fn properties(stream: &Stream, schema: &SchemaRef, rows: i64) -> WriterProperties {
    let names = [("tracer", &stream.tracer), ("collector_id", &stream.collector_id)];
    let names = names.map(|(key, value)| KeyValue::new(format!("duetector_actors.{key}"), value.to_owned()));
    // Positions and statistics of pages are of no use if each column has only one page.
    let has_pages = usize::try_from(rows).is_ok_and(|rows| rows > PAGE_ROWS);
    let of_pages = if has_pages { EnabledStatistics::Page } else { EnabledStatistics::Chunk };
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL).unwrap_or_default()))
        .set_created_by(format!("duetector-actors version {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(names.to_vec()))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_offset_index_disabled(!has_pages)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    let index_of = |name: &str| schema.index_of(name).ok().and_then(|index| i32::try_from(index).ok());
    if let Some(column_idx) = index_of(Column::Time.name()) {
        let by_time = SortingColumn { column_idx, descending: false, nulls_first: false };
        properties = properties.set_sorting_columns(Some(vec![by_time]));
    }
    for name in GROWING {
        let column = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
            .set_column_statistics_enabled(column, of_pages);
    }
    for name in WITH_FILTER {
        let column = ColumnPath::from(name);
        properties = properties
            .set_column_bloom_filter_fpp(column.clone(), FALSE_POSITIVES)
            .set_column_statistics_enabled(column, of_pages);
    }
    properties.build()
}

/// A file that computes the hash of what is written to it.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(128 << 10, file), hash: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> io::Result<(File, u64, String)> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, self.bytes, hex(&self.hash.finalize())))
    }
}

impl Write for Hashing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.file.write(data)?;
        self.hash.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Returns the SHA-256 of data, in hex.
pub(crate) fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// Returns the SHA-256 of what is left in a file, in hex, and its size.
pub(crate) fn sha256_of(file: &mut File) -> io::Result<(String, u64)> {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 128 << 10]);
    loop {
        let read = io::Read::read(file, &mut buffer)?;
        if read == 0 {
            return Ok((hex(&hash.finalize()), size));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    model::text::hex(bytes)
}
