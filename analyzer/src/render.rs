//! Answers in writing: a table for people; JSON, JSON lines and CSV for programs. Each row is written as soon as it is
//! read, so an answer of any length needs little memory.

mod about;
mod delimited;
pub mod escape;
mod evidence;
mod format;
pub(crate) mod json;
mod live;
pub(crate) mod names;
mod parquet;
mod process;
mod table;
mod uses;
pub(crate) mod words;

use std::io::{self, Write};

pub use about::tracers_with_phrases;
pub use evidence::{evidence, nothing, warnings};
pub use format::{Format, Output, RenderError};
pub use json::indented;
pub use live::LiveRows;
pub use names::Names;
pub use parquet::rows as parquet;
pub use process::{process, process_lines};
pub use table::terminal_width;
pub use uses::uses;
pub use words::{process as process_name, time};

use crate::{Answer, Brief};

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
