//! Repairs lines that are almost JSON: bytes that are not UTF-8, lone surrogates (as which Python writes such bytes
//! in file names), `NaN` and `Infinity` (as which it writes these numbers). No byte of a file's name is lost.
//!
//! A byte of 0x80 or above that is not valid JSON text is replaced by one of the last 128 characters of the last
//! private-use plane, and [`restore`] turns the character into the byte again. If the line itself contains such a
//! character, its four bytes are replaced first, so that the round trip is exact.

use model::Text;
use serde_json::{Map, Value};

/// Character that stands for byte 0x80.
const FIRST: u32 = 0x10_FF80;

fn stand_in(byte: u8) -> char {
    char::from_u32(FIRST - 0x80 + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn byte_of(stand_in: char) -> Option<u8> {
    u32::from(stand_in)
        .checked_sub(FIRST - 0x80)
        .and_then(|byte| u8::try_from(byte).ok())
        .filter(|byte| *byte >= 0x80)
}

/// Reads the JSON value in a line, and returns whether the line had to be repaired; then its strings need
/// [`restore`].
pub(crate) fn read_value(line: &[u8]) -> Option<(Value, bool)> {
    if let Some(value) = std::str::from_utf8(line).ok().and_then(|text| serde_json::from_str(text).ok()) {
        return Some((value, false));
    }
    let repaired = repair(line)?;
    Some((serde_json::from_str(&repaired).ok()?, true))
}

/// Returns the line as valid JSON text; `None` if there is nothing to repair.
pub(crate) fn repair(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len() + 16);
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            if u32::from(c) >= FIRST {
                text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(stand_in));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(stand_in));
    }
    let mended = mend_tokens(&text);
    (mended.as_bytes() != line).then_some(mended)
}

/// Replaces lone surrogate escapes inside strings, and names of numbers outside.
fn mend_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(c) = rest.chars().next() {
        if in_string && c == '\\' {
            let (mended, length) = mend_escape(rest);
            out.push_str(&mended);
            rest = &rest[length..];
            continue;
        }
        if !in_string
            && let Some(name) = ["NaN", "-Infinity", "Infinity"].iter().find(|name| rest.starts_with(**name))
        {
            out.push_str("null");
            rest = &rest[name.len()..];
            continue;
        }
        in_string ^= c == '"';
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Returns the repaired escape at the start of `text`, and its length there in bytes.
fn mend_escape(text: &str) -> (String, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    match unit(0) {
        Some(0xd800..=0xdbff) if matches!(unit(6), Some(0xdc00..=0xdfff)) => (text[..12].to_owned(), 12),
        Some(low @ 0xdc80..=0xdcff) => (stand_in((low - 0xdc00) as u8).into(), 6),
        Some(0xd800..=0xdfff) => (char::REPLACEMENT_CHARACTER.into(), 6),
        _ => {
            let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
            (text[..length].to_owned(), length)
        }
    }
}

/// Restores the bytes: text shows them as `\xNN`, and a field `<key>_bytes` has the exact bytes in hex.
pub(crate) fn restore(map: Map<String, Value>) -> Map<String, Value> {
    let mut restored = Map::with_capacity(map.len());
    for (key, value) in map {
        let key = text_of(&key).to_str().into_owned();
        match value {
            Value::String(text) => {
                let text = text_of(&text);
                restored.insert(key.clone(), text.to_str().into());
                if let Some(hex) = text.raw_hex() {
                    restored.insert(format!("{key}_bytes"), hex.into());
                }
            }
            other => {
                restored.insert(key, restore_nested(other));
            }
        }
    }
    restored
}

fn restore_nested(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(restore(map)),
        Value::Array(values) => Value::Array(values.into_iter().map(restore_nested).collect()),
        Value::String(text) => text_of(&text).to_str().into(),
        other => other,
    }
}

fn text_of(text: &str) -> Text {
    if !text.chars().any(|c| byte_of(c).is_some()) {
        return Text::from(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Text::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repair_changes_only_invalid_parts() {
        assert_eq!(repair(br#"{"a":"NaN \ud83d\ude00 \"Infinity\""}"#), None);
        assert_eq!(repair(b"[NaN,-Infinity]").as_deref(), Some("[null,null]"));
    }

    #[test]
    fn a_real_private_use_character_survives_beside_a_bad_byte() {
        let line = "{\"a\":\"\u{10ffff}".bytes().chain(*b"\xff\"}").collect::<Vec<u8>>();
        let value: Value = serde_json::from_str(&repair(&line).unwrap()).unwrap();
        let Value::Object(map) = value else { panic!("no object") };
        assert_eq!(restore(map)["a_bytes"], "f48fbfbfff");
    }
}
