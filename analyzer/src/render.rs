//! Answers on paper: a table for people, JSON, JSON lines and CSV for programs. Rows are written as they come.

mod delimited;
pub mod escape;
mod json;
mod table;

use std::io::{self, Write};
use std::str::FromStr;

use crate::{Answer, Brief, Error};

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One array of objects.
    Json,
    /// One object a line.
    Jsonl,
    /// Comma-separated, a header first.
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

/// What is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paper {
    /// A terminal so many columns wide; `None`: a file or pipe.
    pub terminal: Option<u16>,
}

/// How many characters stdout's terminal shows on a line, if it is one that tells.
pub fn terminal_width() -> Option<u16> {
    table::terminal_width()
}

/// Why writing an answer ended early.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The store could not be read on.
    #[error(transparent)]
    Read(#[from] Error),
    /// Nobody takes what is written.
    #[error("write rows")]
    Write(#[from] io::Error),
}

impl RenderError {
    /// The reader has gone, as `head` does: no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Writes an answer; tells how many rows.
///
/// # Errors
/// When the store can't be read, or the paper not be written.
pub fn rows(
    answer: &mut Answer<'_>,
    format: Format,
    paper: Paper,
    out: &mut dyn Write,
) -> Result<u64, RenderError> {
    let count = match format {
        Format::Table => table::rows(answer, paper, out)?,
        Format::Json => json::array(answer, out)?,
        Format::Jsonl => json::lines(answer, out)?,
        Format::Csv => delimited::rows(answer, paper, out)?,
    };
    out.flush()?;
    Ok(count)
}

/// Writes a brief as a table.
///
/// # Errors
/// When the paper can't be written.
pub fn brief_table(brief: &Brief, paper: Paper, out: &mut dyn Write) -> io::Result<()> {
    table::brief(brief, paper, out)
}

/// Writes a brief as one JSON object.
///
/// # Errors
/// When the paper can't be written.
pub fn brief_json(brief: &Brief, out: &mut dyn Write) -> io::Result<()> {
    json::brief(brief, out)
}
