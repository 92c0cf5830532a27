//! Rows as JSON. Characters that a terminal would act on are written as `\uNNNN`, which programs read as the same text.

use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use super::escape::is_hostile;
use super::format::RenderError;
use crate::rows::Shown;
use crate::{Answer, Brief, Row};

pub(super) fn array(answer: &mut Answer<'_>, out: &mut dyn Write) -> Result<u64, RenderError> {
    out.write_all(b"[")?;
    let mut count = 0;
    each(answer, |columns, row| {
        out.write_all(if count == 0 { b"\n" } else { b",\n" })?;
        count += 1;
        write(out, &Object { columns, row: &row })
    })?;
    out.write_all(if count == 0 { b"]\n" } else { b"\n]\n" })?;
    Ok(count)
}

pub(super) fn lines(answer: &mut Answer<'_>, out: &mut dyn Write) -> Result<u64, RenderError> {
    let mut count = 0;
    each(answer, |columns, row| {
        count += 1;
        write(out, &Object { columns, row: &row })?;
        out.write_all(b"\n")
    })?;
    Ok(count)
}

pub(super) fn brief(brief: &Brief, out: &mut dyn Write) -> io::Result<()> {
    write(out, brief)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes a value as one object.
pub(crate) fn object(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    write(out, value)?;
    out.write_all(b"\n")
}

/// Returns a value as indented JSON, without any character that a terminal would act on.
///
/// # Errors
/// The value has keys that are no texts.
pub fn indented(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    // Between strings there are only spaces and ends of lines, and those in strings are escaped already.
    let is_harmless = |character: char| character == '\n' || !is_hostile(character);
    if text.chars().all(is_harmless) {
        return Ok(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmless(character) {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Ok(out)
}

/// Returns a value as JSON text, for cells of other formats.
pub(super) fn text(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    // Writing to a Vec can't fail, and all keys are text.
    let _ = write(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

fn each(
    answer: &mut Answer<'_>,
    mut show: impl FnMut(&[Shown], Row) -> io::Result<()>,
) -> Result<(), RenderError> {
    let columns = answer.columns().to_vec();
    for row in answer.rows()? {
        show(&columns, row?)?;
    }
    Ok(())
}

fn write(out: &mut (impl Write + ?Sized), value: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Harmless);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// A row with the names of its columns, serialized as an object.
struct Object<'a> {
    columns: &'a [Shown],
    row: &'a Row,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(&self.row.cells) {
            map.serialize_entry(&column.name, cell)?;
        }
        map.end()
    }
}

/// Formats compact JSON without any character that a terminal would act on.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hostile) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut after = after.chars();
            if let Some(character) = after.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
            rest = after.as_str();
        }
        CompactFormatter.write_string_fragment(out, rest)
    }
}
