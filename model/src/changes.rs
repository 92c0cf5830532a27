//! What a reload did, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What changed when a new configuration was applied: names such as `tracer open`, `sink jsonl`, `filter noise`,
/// `setting ebpf.look_interval`. What is in none of the lists was not touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// New.
    pub added: Vec<String>,
    /// Stopped and gone, everything it had handed on.
    pub removed: Vec<String>,
    /// Stopped and started again with other settings.
    pub restarted: Vec<String>,
    /// Changed while it ran on.
    pub changed: Vec<String>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.groups().iter().all(|(_, names)| names.is_empty())
    }

    /// Adds what another part changed.
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

/// A line for each thing that changed: `added tracer x`; or `nothing changed`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changed");
        }
        let groups = self.groups();
        let lines = groups.iter().flat_map(|(what, names)| names.iter().map(move |name| (what, name)));
        for (place, (what, name)) in lines.enumerate() {
            let gap = if place == 0 { "" } else { "\n" };
            write!(f, "{gap}{what} {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
