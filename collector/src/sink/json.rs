//! JSON text as duetector's library writes it: ASCII only, with a space after each comma and colon.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// Writes `value` into `out`, which is cleared first. Its capacity is reused, so a row's text costs no allocation.
///
/// # Errors
/// A value can't be JSON (a map with keys that are not text).
pub fn write_python_style(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    out.clear();
    value.serialize(&mut Serializer::with_formatter(out, PythonStyle))
}

/// Formats like Python's `json.dumps` with its defaults.
#[derive(Clone, Copy, Debug)]
struct PythonStyle;

impl Formatter for PythonStyle {
    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return out.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for c in fragment.chars() {
            if (c as u32) < 0x7f {
                out.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_python_writes_it() {
        let table = [
            (json!({"a": [1, 2], "b": {}}), r#"{"a": [1, 2], "b": {}}"#),
            (json!({"ü": "grün 🦀 \u{7f}"}), r#"{"\u00fc": "gr\u00fcn \ud83e\udd80 \u007f"}"#),
            (json!("a\"b\\c\n\u{1}\u{8}"), r#""a\"b\\c\n\u0001\b""#),
            (json!([1.0, -2.5, true, null]), "[1.0, -2.5, true, null]"),
        ];
        let mut out = b"left over".to_vec();
        for (value, expected) in table {
            write_python_style(&mut out, &value).unwrap();
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        }
    }
}
