//! The result of a reload: what it added, removed, restarted or changed.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{SinkName, TracerName};

/// A difference that a new configuration made. A thing without a change was not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub what: What,
    pub subject: Subject,
}

/// The effect on the subject of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The subject was not there before.
    Added,
    /// Stopped and removed, after all its records had been passed on.
    Removed,
    /// Stopped and started again with new settings.
    Restarted,
    /// Changed without being stopped.
    Changed,
}

/// A thing that a new configuration can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A tracer, by the name that its rows are stored under.
    Tracer(TracerName),
    /// A tracer whose rows are stored under another name from now on.
    Renamed {
        tracer: TracerName,
        was: TracerName,
    },
    Sink(SinkName),
    /// A filter, by the name of its section.
    Filter(String),
    /// The key of a setting that affects more than one tracer or sink.
    Setting(String),
}

impl Change {
    /// Creates a change of `subject`.
    pub fn new(what: What, subject: Subject) -> Self {
        Self { what, subject }
    }
}

/// Returns the keys of a section whose values differ. A section that does not serialize to a table has none.
pub fn changed_keys<T: Serialize>(before: &T, after: &T) -> Vec<String> {
    let table = |section: &T| match serde_json::to_value(section) {
        Ok(Value::Object(table)) => table,
        _ => Map::new(),
    };
    let (before, after) = (table(before), table(after));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keys_returns_the_keys_that_differ() {
        let section = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let (before, after) =
            (section(r#"{"a": 1, "b": [1], "c": 2}"#), section(r#"{"a": 1, "b": [], "d": 0}"#));
        assert_eq!(changed_keys(&before, &after), ["b", "c", "d"]);
        assert!(changed_keys(&before, &before).is_empty());
    }
}
