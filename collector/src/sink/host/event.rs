//! Encodes a row as one flat `event` line that duetector's hosts can handle.
//!
//! A host makes a `namedtuple` from the payload's keys. If a key is not a Python identifier, is a keyword or begins
//! with `_`, the host silently loses the event, so such keys are changed until they are valid. `tracer`, `extended`
//! and `timestamp` have a special meaning to a host, so a record's own field of that name gets another one. Lines are
//! ASCII, because a host decodes text in the encoding of its locale.

use model::Tracking;
use model::schema::{COLUMNS, Column, ColumnValue};
use serde_json::{Map, Value, json};

use crate::sink::json::write_python_style;

/// Keys with a special meaning to a host; a record's own field is never named so.
const TAKEN: [&str; 4] = ["tracer_name", "tracer", "extended", "timestamp"];

/// Python's keywords, which are not valid as field names.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Writes the row's line, including the newline, into `out`, which is cleared first.
///
/// # Errors
/// The row can't be encoded as JSON.
pub(super) fn write(out: &mut Vec<u8>, row: &Tracking, prefix: &str) -> serde_json::Result<()> {
    let message = json!({
        "proto": "duetector", "version": "0.1.0", "type": "event", "payload": payload(row, prefix),
    });
    write_python_style(out, &message)?;
    out.push(b'\n');
    Ok(())
}

/// Returns all fields of the row: first the columns, by their names, then the fields of `extended`.
fn payload(row: &Tracking, prefix: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("tracer_name".to_owned(), format!("{prefix}{}", row.tracer).into());
    for column in COLUMNS.iter().filter(|column| **column != Column::Extended) {
        match row.value(*column) {
            ColumnValue::Null => {}
            value => {
                fields.insert(column.name().to_owned(), serde_json::to_value(value).unwrap_or_default());
            }
        }
    }
    let mut extended = Map::new();
    // If two fields have one name, the later one wins.
    row.extended.visit(|name, field| {
        extended.insert(name.to_owned(), serde_json::to_value(&field).unwrap_or_default());
    });
    for (name, value) in extended {
        // A field that fills a column may also be in `extended`.
        if fields.get(&name) != Some(&value) {
            fields.insert(free_name(&fields, &name), value);
        }
    }
    fields
}

/// Returns a Python identifier similar to `name` that is not used yet.
fn free_name(fields: &Map<String, Value>, name: &str) -> String {
    let mut free: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !free.starts_with(|c: char| c.is_ascii_alphabetic()) {
        free.insert(0, 'f');
    }
    while TAKEN.contains(&free.as_str()) || KEYWORDS.contains(&free.as_str()) || fields.contains_key(&free) {
        free.push('_');
    }
    free
}

#[cfg(test)]
mod tests {
    use model::{Clocks, Details, Moment, Record, WallTime};
    use proptest::prelude::*;

    use super::*;

    fn row(fields: Value) -> Tracking {
        let Value::Object(fields) = fields else { panic!("no object") };
        let record =
            Record { at: Moment::Wall(WallTime(0)), identity: None, details: Details::Fields(fields) };
        crate::normalize::row(&"t".into(), record, &Clocks::default()).unwrap()
    }

    fn line(fields: Value, prefix: &str) -> Value {
        let mut line = Vec::new();
        write(&mut line, &row(fields), prefix).unwrap();
        assert!(line.is_ascii() && line.ends_with(b"\n"), "{line:?}");
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_row_is_one_flat_event() {
        let event = line(json!({"pid": 7, "fname": "/grün", "tid": 8, "x": [1]}), "our_");
        assert_eq!((&event["proto"], &event["type"]), (&json!("duetector"), &json!("event")));
        let expected = json!({
            "tracer_name": "our_t", "pid": 7, "comm": "Unknown", "fname": "/grün", "dt": "1970-01-01 00:00:00.000000",
            "time": "1970-01-01T00:00:00.000000000+00:00", "tid": 8, "x": [1],
        });
        assert_eq!(event["payload"], expected);
    }

    #[test]
    fn names_that_a_host_chokes_on_are_changed_and_never_lost() {
        let event = line(
            json!({"a-b": 1, "a_b": 2, "class": 3, "_x": 4, "1st": 5, "tracer": 6, "": 7, "größe": 8, "pid": 9}),
            "",
        );
        let expected = json!({
            "tracer_name": "t", "pid": 9, "comm": "Unknown", "dt": "1970-01-01 00:00:00.000000",
            "time": "1970-01-01T00:00:00.000000000+00:00", "a_b": 1, "a_b_": 2, "class_": 3, "f_x": 4, "f1st": 5, "tracer_": 6, "f": 7, "gr__e": 8,
        });
        assert_eq!(event["payload"], expected);
    }

    proptest! {
        #[test]
        fn any_names_become_different_identifiers(names in proptest::collection::btree_set(".{0,6}", 0..12)) {
            let fields: Map<String, Value> =
                names.iter().map(|name| (name.clone(), Value::from(name.as_str()))).collect();
            let bare = Tracking::new(
                "t".into(), WallTime(0), model::Extended::new(Details::Fields(fields)),
            );
            let payload = payload(&bare, "");
            prop_assert_eq!(payload.len(), names.len() + 2);
            for name in payload.keys() {
                prop_assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "{}", name);
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{}", name);
                prop_assert!(!KEYWORDS.contains(&name.as_str()), "{}", name);
            }
        }
    }
}
