//! Bounds the size of a row. A traced process chooses the texts, and bytes that are not UTF-8 take several times their
//! number in a sink.
//!
//! Filters have seen the whole texts by then, so shortening changes no decision. A row says in `texts_cut` which of its
//! texts are only the beginning. A path as requested that would be cut is left out of a failed call's row: the absolute path
//! was made from it.

use std::borrow::Cow;

use model::extended::Extra;
use model::{Details, Text, Tracking};
use serde_json::Value;

/// Largest number of bytes of each text of a call that failed, of all arguments of an exec together, and of the name in a
/// DNS message. Anybody can make calls that fail, as many as he likes, with texts of any length.
pub(crate) const FAILED: usize = 512;

/// Largest number of bytes that the texts of a row may take as a sink writes them.
pub(crate) const ROW: usize = 32 << 10;

/// A byte takes at most this many when it is written: escaped in JSON, or in the text form and in hex.
const FACTOR: usize = 6;

/// Bytes of a text that are kept if a row is too large; then half as many, down to [`FAILED`].
const FIRST_LIMIT: usize = 4096;

/// Shortens the texts of the row of a failed call, and those of a row that is too large. Returns the bytes of its texts in
/// memory, and whether anything was cut.
pub(crate) fn shorten(row: &mut Tracking) -> (usize, bool) {
    let mut cut = Vec::new();
    let mut bytes = length(row);
    if bytes > FAILED && row.ret.is_some_and(|ret| ret < 0) {
        cut_to(row, FAILED, &mut cut);
        row.extended.details.drop_asked(&cut);
        bytes = length(row);
    }
    let mut limit = FIRST_LIMIT;
    while bytes * FACTOR > ROW && limit >= FAILED && written(row) > ROW {
        cut_to(row, limit, &mut cut);
        bytes = length(row);
        limit /= 2;
    }
    let is_cut = !cut.is_empty();
    if is_cut {
        let names = cut.into_iter().map(Value::from).collect();
        row.extended.extra.push((Cow::Borrowed("texts_cut"), Extra::Value(Value::Array(names))));
    }
    (bytes, is_cut)
}

/// Calls `text` with each text of the row that is written, and its name. A column that repeats a text of the details is
/// visited too.
fn visit(row: &mut Tracking, text: &mut dyn FnMut(&'static str, &mut Text)) {
    row.extended.details.texts_mut(text);
    for (name, column) in [("fname", &mut row.fname), ("cwd", &mut row.cwd), ("exe", &mut row.exe)] {
        column.iter_mut().for_each(|column| text(name, column));
    }
}

fn length(row: &mut Tracking) -> usize {
    let mut bytes = 0;
    visit(row, &mut |_, text| bytes += text.len());
    bytes
}

/// Returns the bytes that the row's texts take in a sink, at most.
fn written(row: &mut Tracking) -> usize {
    let mut bytes = 0;
    visit(row, &mut |_, text| {
        let shown: usize = text.to_str().bytes().map(escaped).sum();
        bytes += shown + text.raw().map_or(0, |raw| 2 * raw.len());
    });
    bytes
}

/// Returns the bytes that a byte takes in JSON that is ASCII only.
fn escaped(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' => 2,
        0..0x20 | 0x7f => 6,
        0x80.. => 3,
        _ => 1,
    }
}

/// Cuts each text to `limit` bytes, and the arguments of an exec together; adds the names of those that were longer.
fn cut_to(row: &mut Tracking, limit: usize, cut: &mut Vec<&'static str>) {
    let mut arguments = limit;
    visit(row, &mut |name, text| {
        let limit = if name == "argv" { arguments } else { limit };
        if text.cut(limit) && !cut.contains(&name) {
            cut.push(name);
        }
        if name == "argv" {
            arguments -= text.len();
        }
    });
    match &mut row.extended.details {
        Details::Exec(exec) if cut.contains(&"argv") => {
            // Those after the last one with text were cut to nothing.
            let kept = exec.argv.iter().rposition(|argument| !argument.is_empty()).map_or(0, |last| last + 1);
            exec.argv.truncate(kept);
            exec.argv_cut = true;
        }
        Details::Dns(dns) => {
            if let Some(message) = dns.message.as_mut().filter(|message| message.name.len() > limit) {
                let whole = (0..=limit).rev().find(|at| message.name.is_char_boundary(*at));
                message.name.truncate(whole.unwrap_or_default());
                message.incomplete = true;
                cut.push("name");
            }
        }
        _ => {}
    }
    // The exact bytes of a column are cut as the column itself.
    row.extended.extra.retain_mut(|(_, extra)| match extra {
        Extra::Bytes(text) => !text.cut(limit) || text.raw().is_some(),
        Extra::Value(_) => true,
    });
}

#[cfg(test)]
mod tests {
    use model::{BootNs, Clocks, Exec, Fs, Moment, OtherPath, Record};

    use super::*;

    fn row(details: Details) -> Tracking {
        let record = Record { at: Moment::Boot(BootNs(1)), identity: None, details };
        crate::normalize::row(&"rename".into(), record, &Clocks::default()).unwrap()
    }

    fn rename(byte: u8, ret: i64) -> Tracking {
        let text = |first: &[u8]| Text::from_bytes(&[first, &[byte; 4000]].concat());
        let other =
            OtherPath { name: "new_path", path: text(b"/b"), asked: Some(("new_path_asked", text(b"b"))) };
        let mut row = row(Details::Fs(Box::new(Fs {
            call: "renameat2",
            path: text(b"/a"),
            path_incomplete: false,
            path_unresolved: false,
            path_asked: Some(text(b"a")),
            other: Some(other),
            word: None,
            args: Vec::new(),
            ret,
            file: None,
            replaced: None,
        })));
        row.cwd = Some(text(b"/c"));
        crate::normalize::keep_bytes(&mut row.extended, "cwd_bytes", row.cwd.as_ref());
        row
    }

    /// The row as JSON, and its `texts_cut`.
    fn json(row: &Tracking) -> (String, Vec<String>) {
        let json = serde_json::to_value(row).unwrap();
        let cut = json["extended"]["texts_cut"].as_array().cloned().unwrap_or_default();
        (json.to_string(), cut.iter().map(|name| name.as_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn texts_of_a_failed_call_are_cut_to_512_bytes_and_named() {
        for byte in [b'\xff', 1, b'x'] {
            let mut row = rename(byte, -2);
            assert!(shorten(&mut row).1);
            let (text, cut) = json(&row);
            assert_eq!(cut, ["fname", "path_asked", "new_path", "new_path_asked", "cwd"]);
            assert!(text.len() < 12_000, "{} bytes", text.len());
            assert!(!text.contains("asked\":"), "the same bytes twice: {text}");
            assert_eq!(row.fname.as_ref().map(|text| text.as_bytes().to_vec()), {
                Some([&b"/a"[..], &[byte; FAILED - 2]].concat())
            });
            let bytes = row.extended.get("cwd_bytes").map(|field| field.to_plain().len());
            assert_eq!(bytes, (byte == b'\xff').then_some(2 * FAILED));
        }
    }

    #[test]
    fn a_row_that_is_too_large_is_cut_and_others_are_not() {
        let mut row = rename(b'\xff', 0);
        assert!(shorten(&mut row).1);
        assert!(written(&mut row) <= ROW);
        assert!(row.fname.as_ref().is_some_and(|fname| fname.len() >= 1024), "no more than needed");
        let mut row = rename(b'x', 0);
        let before = row.clone();
        assert!(!shorten(&mut row).1);
        assert_eq!(row, before);
    }

    #[test]
    fn arguments_are_cut_together() {
        let mut row = row(Details::Exec(Box::new(Exec {
            path_asked: "x".into(),
            path: "/x".into(),
            argv: vec!["x".into(), "a".repeat(400).into(), "b".repeat(400).into(), "c".into()],
            argv_cut: false,
            cwd: "/".into(),
            path_incomplete: false,
            path_unresolved: false,
            ret: -2,
            execveat: None,
            memfd: false,
            file: None,
            interpreter: None,
        })));
        assert!(shorten(&mut row).1);
        let Details::Exec(exec) = &row.extended.details else { panic!("another kind") };
        let lengths: Vec<_> = exec.argv.iter().map(Text::len).collect();
        assert_eq!((lengths, exec.argv_cut), (vec![1, 400, 111], true));
    }
}
