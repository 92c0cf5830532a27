//! Text from traced processes: arbitrary bytes, kept exactly, shown as valid UTF-8.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Bytes that are usually text: a path, a command name, an argument.
///
/// The text form is always valid UTF-8: invalid bytes are written as `\xNN`, and then [`Text::raw`] has the exact
/// bytes. Control characters and newlines are valid UTF-8 and stay as they are; code that prints to a terminal escapes
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    text: Arc<str>,
    raw: Option<Arc<[u8]>>,
}

impl Text {
    /// Creates a text from any bytes.
    ///
    /// ```
    /// let text = model::Text::from_bytes(b"caf\xe9");
    /// assert_eq!(text.as_str(), "caf\\xe9");
    /// assert_eq!(text.raw(), Some(&b"caf\xe9"[..]));
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { text: Arc::from(text), raw: None },
            Err(_) => Self { text: Arc::from(escape_invalid(bytes)), raw: Some(Arc::from(bytes)) },
        }
    }

    /// Returns the text form, which is valid UTF-8.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the exact bytes if the text form differs from them.
    pub fn raw(&self) -> Option<&[u8]> {
        self.raw.as_deref()
    }

    /// Returns the exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// Returns the exact bytes as lower-case hex if the text form differs from them.
    pub fn raw_hex(&self) -> Option<String> {
        self.raw.as_deref().map(hex)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { text: Arc::from(text), raw: None }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text: Arc::from(text), raw: None }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

fn escape_invalid(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String can't fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Returns `bytes` as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_text_is_kept_without_raw_bytes() {
        let text = Text::from_bytes("zeile\n\"ü\"".as_bytes());
        assert_eq!(text.as_str(), "zeile\n\"ü\"");
        assert_eq!(text.raw(), None);
        assert_eq!(text.as_bytes(), "zeile\n\"ü\"".as_bytes());
    }

    #[test]
    fn invalid_bytes_are_escaped_one_by_one_and_kept() {
        let text = Text::from_bytes(b"a\xff\xfe/b\xc3");
        assert_eq!(text.as_str(), "a\\xff\\xfe/b\\xc3");
        assert_eq!(text.raw_hex().as_deref(), Some("61fffe2f62c3"));
    }
}
