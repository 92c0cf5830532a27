//! A row as one flat `event` line, in the words that duetector's hosts survive.
//!
//! Its host makes a `namedtuple` of the payload's keys: one that is no Python identifier, is a keyword or begins with
//! `_` loses the event without a word, so such keys are changed until they are none of these. `tracer`, `extended` and
//! `timestamp` have a meaning of their own there, which a record's own field of that name must not take. Lines are
//! ASCII: a host reads text in whatever its locale says.

use model::{Text, Tracking};
use serde_json::{Map, Value, json};

use crate::sink::json::write_python_style;

/// Keys that mean something to a host, and are never what a record's own field is called.
const TAKEN: [&str; 4] = ["tracer_name", "tracer", "extended", "timestamp"];

/// Python's keywords, which no field can be called.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Writes the row's line, with its end, into `out`, which is emptied first.
///
/// # Errors
/// When it can't be JSON.
pub(super) fn write(out: &mut Vec<u8>, row: &Tracking, prefix: &str) -> serde_json::Result<()> {
    let message = json!({
        "proto": "duetector", "version": "0.1.0", "type": "event", "payload": payload(row, prefix),
    });
    write_python_style(out, &message)?;
    out.push(b'\n');
    Ok(())
}

/// Everything the row has: columns first, by their names, then what is in `extended`.
fn payload(row: &Tracking, prefix: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("tracer_name".to_owned(), format!("{prefix}{}", row.tracer).into());
    let text = |text: &Option<Text>| text.as_ref().map(|text| Value::from(text.as_str()));
    let columns = [
        ("pid", row.pid.map(Value::from)),
        ("uid", row.uid.map(Value::from)),
        ("gid", row.gid.map(Value::from)),
        ("comm", text(&row.comm)),
        ("cwd", text(&row.cwd)),
        ("fname", text(&row.fname)),
        ("dt", row.dt.map(|dt| dt.to_text().into())),
        ("tid", row.tid.map(Value::from)),
        ("ppid", row.ppid.map(Value::from)),
        ("exec_id", row.exec_id.map(|id| id.to_string().into())),
        ("exe", text(&row.exe)),
        ("container_id", row.container_id.as_deref().map(Value::from)),
        ("ret", row.ret.map(Value::from)),
        ("count", row.count.map(Value::from)),
    ];
    for (name, value) in columns {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    }
    let mut extended = Map::new();
    // The later of two fields of one name wins.
    row.extended.visit(|name, field| {
        extended.insert(name.to_owned(), serde_json::to_value(&field).unwrap_or_default());
    });
    for (name, value) in extended {
        // What fills a column may be in `extended` as well.
        if fields.get(&name) != Some(&value) {
            fields.insert(free_name(&fields, &name), value);
        }
    }
    fields
}

/// A Python identifier near `name` that is not taken.
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
    use model::{BootClock, Details, Moment, Record, WallTime};
    use proptest::prelude::*;

    use super::*;

    fn row(fields: Value) -> Tracking {
        let Value::Object(fields) = fields else { panic!("no object") };
        let record =
            Record { at: Moment::Wall(WallTime(0)), identity: None, details: Details::Fields(fields) };
        crate::normalize::row(&"t".into(), record, BootClock::default()).unwrap()
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
            "tid": 8, "x": [1],
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
            "a_b": 1, "a_b_": 2, "class_": 3, "f_x": 4, "f1st": 5, "tracer_": 6, "f": 7, "gr__e": 8,
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
