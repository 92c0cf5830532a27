//! The result of a reload: names of the things it added, removed, restarted or changed.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Things that changed when a new configuration was applied, by names such as `tracer open`, `sink jsonl`, `filter
/// noise`, `setting ebpf.poll_interval`. A thing in none of the lists was not touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Things that were not there before.
    pub added: Vec<String>,
    /// Stopped and removed, after all their records had been passed on.
    pub removed: Vec<String>,
    /// Stopped and started again with new settings.
    pub restarted: Vec<String>,
    /// Changed without being stopped.
    pub changed: Vec<String>,
}

impl Changes {
    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.groups().iter().all(|(_, names)| names.is_empty())
    }

    /// Adds the changes made by another part of the agent.
    pub fn merge(&mut self, other: Self) {
        self.added.extend(other.added);
        self.removed.extend(other.removed);
        self.restarted.extend(other.restarted);
        self.changed.extend(other.changed);
    }

    fn groups(&self) -> [(&'static str, &[String]); 4] {
        [
            ("added", &self.added),
            ("removed", &self.removed),
            ("restarted", &self.restarted),
            ("changed", &self.changed),
        ]
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

/// Writes one line for each thing that changed, such as `added tracer x`; or `nothing changed`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changed");
        }
        let groups = self.groups();
        let lines = groups.iter().flat_map(|(what, names)| names.iter().map(move |name| (what, name)));
        for (index, (what, name)) in lines.enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{what} {name}")?;
        }
        Ok(())
    }
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

    #[test]
    fn every_change_is_a_line() {
        let mut changes = Changes::default();
        assert_eq!(changes.to_string(), "nothing changed");
        changes.merge(Changes { removed: vec!["sink jsonl".into()], ..Changes::default() });
        changes.merge(Changes { added: vec!["tracer a".into(), "tracer b".into()], ..Changes::default() });
        assert!(!changes.is_empty());
        assert_eq!(changes.to_string(), "added tracer a\nadded tracer b\nremoved sink jsonl");
    }
}
