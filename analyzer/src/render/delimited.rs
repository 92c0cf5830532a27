//! Rows as CSV (RFC 4180): a header, quotes where needed, `extended` as JSON text. A file or pipe gets text unchanged; on
//! a terminal control characters are escaped.

use std::borrow::Cow;
use std::io::{self, Write};

use super::format::{Output, RenderError};
use super::{escape, json};
use crate::{Answer, Cell};

/// Returns a text as a cell has it: harmless on a terminal, unchanged in a file or pipe.
pub(super) fn shown(text: &str, output: Output) -> Cow<'_, str> {
    if output.terminal.is_some() { escape::visible(text) } else { Cow::Borrowed(text) }
}

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
        let cells = row.cells.iter().map(|cell| match cell {
            // A field that holds text is written as that text, without JSON's quotes.
            Cell::Text(text) | Cell::Json(serde_json::Value::String(text)) => shown(text, output),
            Cell::Time(at) => Cow::Owned(at.to_text()),
            Cell::Null | Cell::Json(serde_json::Value::Null) => Cow::Borrowed(""),
            Cell::Bytes(bytes) => Cow::Owned(model::text::hex(bytes)),
            cell => Cow::Owned(json::text(cell)),
        });
        writer.write_record(cells.map(|cell| cell.into_owned())).map_err(io::Error::from)?;
        count += 1;
    }
    writer.flush()?;
    Ok(count)
}
