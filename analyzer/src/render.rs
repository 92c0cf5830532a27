//! Answers in writing: a table for people; JSON, JSON lines and CSV for programs. Each row is written as soon as it is
//! read, so an answer of any length needs little memory.

mod about;
mod delimited;
pub mod escape;
mod json;
mod names;
mod table;

use std::io::{self, Write};
use std::str::FromStr;

pub use about::tracers_with_phrases;

use crate::{Answer, Brief, Error};

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
}

/// Returns the width of the terminal on stdout, if there is one that reports it.
pub fn terminal_width() -> Option<u16> {
    table::terminal_width()
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

/// Writes an answer; returns the number of rows.
///
/// # Errors
/// When the store can't be read or the output can't be written.
pub fn rows(
    answer: &mut Answer<'_>,
    format: Format,
    output: Output,
    out: &mut dyn Write,
) -> Result<u64, RenderError> {
    let count = match format {
        Format::Table => table::rows(answer, output, out)?,
        Format::Json => json::array(answer, out)?,
        Format::Jsonl => json::lines(answer, out)?,
        Format::Csv => delimited::rows(answer, output, out)?,
    };
    out.flush()?;
    Ok(count)
}

/// Writes a brief as a table: the tracers that recorded or lost something, or `all`. Returns how many tracers are left out.
///
/// # Errors
/// When the output can't be written.
pub fn brief_table(brief: &Brief, all: bool, output: Output, out: &mut dyn Write) -> io::Result<usize> {
    let left_out = table::brief(brief, all, output, out)?;
    out.flush()?;
    Ok(left_out)
}

/// Writes a brief as one JSON object.
///
/// # Errors
/// When the output can't be written.
pub fn brief_json(brief: &Brief, out: &mut dyn Write) -> io::Result<()> {
    json::brief(brief, out)
}
