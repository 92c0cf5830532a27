//! Text from traced processes: arbitrary bytes, kept exactly, shown as valid UTF-8.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Number of invalid bytes of one text that are escaped one by one. A name has at most 255 bytes, so each single name is
/// shown in full.
const ESCAPED: usize = 256;

/// Stands for a run of invalid bytes after the first [`ESCAPED`] ones.
const RUN: &str = "\\x..";

/// Bytes that are usually text: a path, a command name, an argument.
///
/// The text form is always valid UTF-8: invalid bytes are written as `\xNN`, and then [`Text::raw`] has the exact
/// bytes. After the first 256 invalid bytes a run of them is written as `\x..`, so that a text of invalid bytes does not
/// become many times as long. Only the exact bytes are kept in memory; the text form of invalid UTF-8 is made when it is
/// asked for. Control characters and newlines are valid UTF-8 and stay as they are; code that prints to a terminal escapes
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text(Kept);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kept {
    Valid(Arc<str>),
    Invalid(Arc<[u8]>),
}

impl Text {
    /// Creates a text from any bytes.
    ///
    /// ```
    /// let text = model::Text::from_bytes(b"caf\xe9");
    /// assert_eq!(text.to_str(), "caf\\xe9");
    /// assert_eq!(text.raw(), Some(&b"caf\xe9"[..]));
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(match std::str::from_utf8(bytes) {
            Ok(text) => Kept::Valid(Arc::from(text)),
            Err(_) => Kept::Invalid(Arc::from(bytes)),
        })
    }

    /// Returns the text form, which is valid UTF-8.
    pub fn to_str(&self) -> Cow<'_, str> {
        match &self.0 {
            Kept::Valid(text) => Cow::Borrowed(text),
            Kept::Invalid(bytes) => Cow::Owned(escape_invalid(bytes)),
        }
    }

    /// Returns the exact bytes if the text form differs from them.
    pub fn raw(&self) -> Option<&[u8]> {
        match &self.0 {
            Kept::Valid(_) => None,
            Kept::Invalid(bytes) => Some(bytes),
        }
    }

    /// Returns the exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Valid(text) => text.as_bytes(),
            Kept::Invalid(bytes) => bytes,
        }
    }

    /// Returns the exact bytes as lower-case hex if the text form differs from them.
    pub fn raw_hex(&self) -> Option<String> {
        self.raw().map(hex)
    }

    /// Returns the number of exact bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns whether the text has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts the text to at most `limit` bytes, of valid UTF-8 after a whole character. Returns whether it was longer.
    pub fn cut(&mut self, limit: usize) -> bool {
        if self.len() <= limit {
            return false;
        }
        let bytes = &self.as_bytes()[..limit];
        *self = match (&self.0, std::str::from_utf8(bytes)) {
            (Kept::Valid(text), Err(error)) => Self::from(&text[..error.valid_up_to()]),
            _ => Self::from_bytes(bytes),
        };
        true
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Kept::Valid(Arc::from(text)))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Kept::Valid(Arc::from(text)))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_str())
    }
}

fn escape_invalid(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    let mut left = ESCAPED;
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            if left > 0 {
                left -= 1;
                // Writing to a String can't fail.
                let _ = write!(out, "\\x{byte:02x}");
            } else if !out.ends_with(RUN) {
                out.push_str(RUN);
            }
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
        assert_eq!(text.to_str(), "zeile\n\"ü\"");
        assert_eq!(text.raw(), None);
        assert_eq!(text.as_bytes(), "zeile\n\"ü\"".as_bytes());
    }

    #[test]
    fn invalid_bytes_are_escaped_one_by_one_and_kept() {
        let text = Text::from_bytes(b"a\xff\xfe/b\xc3");
        assert_eq!(text.to_str(), "a\\xff\\xfe/b\\xc3");
        assert_eq!(text.raw_hex().as_deref(), Some("61fffe2f62c3"));
    }

    #[test]
    fn many_invalid_bytes_do_not_become_many_times_as_long() {
        let name = [&[b'\xff'; 255][..], b".txt"].concat();
        assert_eq!(Text::from_bytes(&name).to_str(), ["\\xff".repeat(255).as_str(), ".txt"].concat());
        let long = [&[b'\xff'; 4000][..], b"/b\xfe\xfe.txt"].concat();
        let text = Text::from_bytes(&long);
        assert_eq!(text.to_str(), ["\\xff".repeat(ESCAPED).as_str(), RUN, "/b", RUN, ".txt"].concat());
        assert_eq!(text.as_bytes(), long);
    }

    #[test]
    fn a_cut_text_stays_valid() {
        let mut text = Text::from("aü");
        assert!(!text.cut(3));
        assert!(text.cut(2));
        assert_eq!(text, "a".into());
        let mut text = Text::from_bytes(b"ab\xff");
        assert!(text.cut(2));
        assert_eq!(text, "ab".into());
    }
}
