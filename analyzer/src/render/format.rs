//! Formats of rows, properties of the output, and the reason why rows could not be written.

use std::io;
use std::str::FromStr;

use crate::Error;

/// The form in which rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table for people, with the most useful columns.
    #[default]
    Table,
    /// A JSON array of objects.
    Json,
    /// A JSON object per line.
    Jsonl,
    /// Comma-separated values after a header.
    Csv,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            _ => Err(format!("expected table, json, jsonl or csv, found {text:?}")),
        }
    }
}

/// Properties of the output that change how people see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Width of the terminal in columns; `None` for a file or pipe.
    pub terminal: Option<u16>,
    /// Tables show users and groups by number rather than by name.
    pub numeric: bool,
    /// Tables of answers end with all blind spots, not only with those that could touch the answer.
    pub evidence: bool,
}

/// The reason why an answer could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Reading the store failed.
    #[error(transparent)]
    Read(#[from] Error),
    /// The output could not be written.
    #[error("write rows")]
    Write(#[from] io::Error),
}

impl RenderError {
    /// True if the reader of a pipe has closed it, as `head` does; that is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
