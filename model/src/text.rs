//! Text that came from a traced process: any bytes at all, kept exactly, shown safely.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Bytes that are meant to be read: a path, a command name, an argument.
///
/// The text form is always valid UTF-8: bytes that are not are written as `\xNN`. Where that happened
/// [`Text::raw`] has the exact bytes. Control characters and newlines are valid UTF-8 and stay as they are;
/// whoever prints to a terminal escapes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    text: Arc<str>,
    raw: Option<Arc<[u8]>>,
}

impl Text {
    /// Takes bytes as they are.
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

    /// The text form, valid UTF-8.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The exact bytes, where the text form differs from them.
    pub fn raw(&self) -> Option<&[u8]> {
        self.raw.as_deref()
    }

    /// The exact bytes, always.
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// The exact bytes as lower-case hex, where the text form differs from them.
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

/// Lower-case hex of `bytes`.
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
