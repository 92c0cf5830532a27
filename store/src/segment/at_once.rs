//! Reads columns of a row group from the disk at once. Parquet's own reader makes several system calls for each page.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::errors::Result;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length};

/// Number of bytes up to which the columns are read at once: more than those of any row group that this version writes.
const MOST: u64 = 64 << 20;

/// A file of which some columns are in memory.
pub(super) struct AtOnce {
    file: File,
    /// Position of each column, and its bytes.
    columns: Vec<(u64, Bytes)>,
}

impl AtOnce {
    /// Reads those columns of a row group that the mask has. If they are too large, they are read when they are needed.
    pub(super) fn read(file: File, group: &RowGroupMetaData, mask: &ProjectionMask) -> io::Result<Self> {
        let wanted = group.columns().iter().enumerate().filter(|(index, _)| mask.leaf_included(*index));
        let ranges: Vec<(u64, u64)> = wanted.map(|(_, column)| column.byte_range()).collect();
        let mut columns = Vec::new();
        if ranges
            .iter()
            .try_fold(0_u64, |sum, (_, length)| sum.checked_add(*length))
            .is_some_and(|sum| sum <= MOST)
        {
            for (start, length) in ranges {
                let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, start)?;
                columns.push((start, Bytes::from(bytes)));
            }
        }
        Ok(Self { file, columns })
    }

    /// Leaves all columns on the disk until they are needed.
    pub(super) fn later(file: File) -> Self {
        Self { file, columns: Vec::new() }
    }

    /// Returns what is in memory from a position on.
    fn from(&self, start: u64) -> Option<Bytes> {
        self.columns.iter().find_map(|(first, bytes)| {
            let at = usize::try_from(start.checked_sub(*first)?).ok()?;
            (at < bytes.len()).then(|| bytes.slice(at..))
        })
    }
}

impl Length for AtOnce {
    fn len(&self) -> u64 {
        Length::len(&self.file)
    }
}

impl ChunkReader for AtOnce {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        match self.from(start) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Ok(Box::new(self.file.get_read(start)?)),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self.from(start).filter(|bytes| bytes.len() >= length) {
            Some(bytes) => Ok(bytes.slice(..length)),
            None => self.file.get_bytes(start, length),
        }
    }
}
