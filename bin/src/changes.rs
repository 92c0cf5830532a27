//! The changes of a reload in words, as `reload` and `status` show them.

use std::fmt;

use model::{Change, Subject, What};
use serde::{Deserialize, Serialize};

/// Things that changed when a new configuration was applied, by names such as `tracer open`, `sink jsonl`, `filter
/// noise`, `setting ebpf.poll_interval`. A thing in none of the lists was not touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    restarted: Vec<String>,
    changed: Vec<String>,
}

impl From<Vec<Change>> for Changes {
    fn from(all: Vec<Change>) -> Self {
        let mut changes = Self::default();
        for Change { what, subject } in all {
            let list = match what {
                What::Added => &mut changes.added,
                What::Removed => &mut changes.removed,
                What::Restarted => &mut changes.restarted,
                What::Changed => &mut changes.changed,
            };
            list.push(in_words(&subject));
        }
        changes
    }
}

fn in_words(subject: &Subject) -> String {
    match subject {
        Subject::Tracer(name) => format!("tracer {name}"),
        Subject::Renamed { tracer, was } => format!("tracer {tracer} (was {was})"),
        Subject::Sink(name) => format!("sink {name}"),
        Subject::Filter(name) => format!("filter {name}"),
        Subject::Setting(key) => format!("setting {key}"),
    }
}

/// Writes one line for each thing that changed, such as `added tracer x`; or `nothing changed`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, removed, restarted, changed } = self;
        let groups = [("added", added), ("removed", removed), ("restarted", restarted), ("changed", changed)];
        let lines = groups.iter().flat_map(|(what, names)| names.iter().map(move |name| (what, name)));
        let lines: Vec<String> = lines.map(|(what, name)| format!("{what} {name}")).collect();
        f.write_str(if lines.is_empty() { "nothing changed".to_owned() } else { lines.join("\n") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_a_line() {
        assert_eq!(Changes::default().to_string(), "nothing changed");
        let tracer = |name: &str| Subject::Tracer(name.into());
        let changes = Changes::from(vec![
            Change::new(What::Removed, Subject::Sink("jsonl".into())),
            Change::new(What::Added, tracer("a")),
            Change::new(What::Changed, Subject::Setting("ebpf.uids".to_owned())),
            Change::new(What::Added, tracer("b")),
            Change::new(What::Changed, Subject::Filter("noise".to_owned())),
            Change::new(What::Restarted, Subject::Renamed { tracer: "files".into(), was: "open".into() }),
        ]);
        let lines = "added tracer a\nadded tracer b\nremoved sink jsonl\nrestarted tracer files (was open)\n\
                     changed setting ebpf.uids\nchanged filter noise";
        assert_eq!(changes.to_string(), lines);
    }
}
