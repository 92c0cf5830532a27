//! Rows as CSV (RFC 4180): a header, quotes where needed, `extended` as JSON text. A file or pipe gets text unchanged; on
//! a terminal control characters are escaped.

use std::borrow::Cow;
use std::io::{self, Write};

use super::format::{Output, RenderError};
use super::{escape, json};
use crate::{Answer, Cell};

/// Writes the header and all rows; returns the number of rows.
pub(super) fn rows(answer: &mut Answer<'_>, output: Output, out: &mut dyn Write) -> Result<u64, RenderError> {
    header(answer, out)?;
    rows_only(answer, output, out)
}

/// Writes the header.
pub(super) fn header(answer: &Answer<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(answer.columns().iter().map(|column| column.name.as_str()))?;
    writer.flush()
}

/// Writes all rows without a header.
pub(super) fn rows_only(
    answer: &mut Answer<'_>,
    output: Output,
    out: &mut dyn Write,
) -> Result<u64, RenderError> {
    let mut writer = csv::Writer::from_writer(out);
    let mut count = 0;
    for row in answer.rows()? {
        let row = row?;
        let cells = row.cells.iter().map(|cell| match (cell, output.terminal) {
            (Cell::Text(text), Some(_)) => escape::visible(text),
            (Cell::Text(text), None) => Cow::Borrowed(text.as_str()),
            (Cell::Time(at), _) => Cow::Owned(at.to_text()),
            (Cell::Null, _) => Cow::Borrowed(""),
            (Cell::Bytes(bytes), _) => Cow::Owned(model::text::hex(bytes)),
            // A field that holds text is written as that text, without JSON's quotes.
            (Cell::Json(serde_json::Value::String(text)), _) => escape::visible(text),
            (Cell::Json(serde_json::Value::Null), _) => Cow::Borrowed(""),
            (cell, _) => Cow::Owned(json::text(cell)),
        });
        writer.write_record(cells.map(|cell| cell.into_owned())).map_err(io::Error::from)?;
        count += 1;
    }
    writer.flush()?;
    Ok(count)
}
