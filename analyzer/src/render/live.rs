//! Rows that come bit by bit, as answers to one query over what has come: they look as one answer does.

use std::io::Write;

use super::format::{Format, Output, RenderError};
use super::{delimited, json, table};
use crate::Answer;

/// Writes the answers one after the other.
pub struct LiveRows {
    format: Format,
    output: Output,
    begun: Begun,
}

/// State of the output: the part that was written before the first row.
enum Begun {
    Nothing,
    Header,
    Table(Box<table::Lines>),
}

impl LiveRows {
    /// Begins with nothing written. [`Format::Json`] is one array, which has no end here: its rows are written as lines.
    pub fn new(format: Format, output: Output) -> Self {
        Self { format, output, begun: Begun::Nothing }
    }

    /// Writes the rows of an answer; returns their number. All answers must have the same columns.
    ///
    /// # Errors
    /// When the answer can't be read or the output can't be written.
    pub fn write(&mut self, answer: &mut Answer<'_>, out: &mut dyn Write) -> Result<u64, RenderError> {
        let is_first = matches!(self.begun, Begun::Nothing);
        let count = match self.format {
            Format::Json | Format::Jsonl => json::lines(answer, out)?,
            Format::Csv => {
                if is_first {
                    delimited::header(answer, out)?;
                    self.begun = Begun::Header;
                }
                delimited::rows_only(answer, self.output, out)?
            }
            Format::Table => {
                if is_first {
                    self.begun = Begun::Table(Box::new(table::Lines::begin(answer, self.output, out)?));
                }
                match &mut self.begun {
                    Begun::Table(lines) => lines.rows(answer, out)?,
                    Begun::Nothing | Begun::Header => 0,
                }
            }
        };
        out.flush()?;
        Ok(count)
    }
}
