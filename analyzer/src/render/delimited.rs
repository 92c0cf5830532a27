//! Rows as CSV (RFC 4180): a header, quoting where needed, `extended` as JSON text. A file gets the text as it
//! is; on a terminal it is made harmless.

use std::borrow::Cow;
use std::io::{self, Write};

use super::{Paper, RenderError, escape, json};
use crate::{Answer, Cell};

pub(super) fn rows(answer: &mut Answer<'_>, paper: Paper, out: &mut dyn Write) -> Result<u64, RenderError> {
    let mut writer = csv::Writer::from_writer(out);
    let names: Vec<&str> = answer.columns().iter().map(|column| column.name.as_str()).collect();
    writer.write_record(names).map_err(io::Error::from)?;
    let mut count = 0;
    for row in answer.rows()? {
        let row = row?;
        let cells = row.cells.iter().map(|cell| match (cell, paper.terminal) {
            (Cell::Text(text), Some(_)) => escape::visible(text),
            (Cell::Text(text), None) => Cow::Borrowed(text.as_str()),
            (Cell::Null, _) => Cow::Borrowed(""),
            // A field that is text is that text, not JSON in quotes.
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
