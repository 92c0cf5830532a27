//! The files of an answer as it lists them, and the names by which attempts without an identity are recognised.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use model::ZonedTime;
use serde::Serialize;
use store::{Condition, Sought};

use crate::file_id::FileId;
use crate::identities::{Identities, KnownFile};
use crate::target::Target;

/// Number of further names of files by which attempts are looked for.
const NAMES: usize = 2_000;

/// A file that the question is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetFile {
    /// Identity of the file.
    pub file_id: FileId,
    /// Other identities of the file, in layers of overlays, or on overlays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<FileId>,
    /// Names of the file, the earliest first.
    pub names: Vec<NameSpan>,
    /// Number of times that a name was not kept, because the file has too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub names_cut: u64,
}

/// A name with the times between which the file was seen with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NameSpan {
    /// Path of the file.
    pub path: String,
    /// The first time.
    pub from: ZonedTime,
    /// The last time.
    pub to: ZonedTime,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TargetFile {
    pub(super) fn new(file: &KnownFile, zone: &TimeZone) -> Self {
        let time = |at| ZonedTime::new(at, zone);
        let names = file.names.iter();
        let mut names: Vec<_> = names
            .map(|name| NameSpan { path: name.path.clone(), from: time(name.from), to: time(name.to) })
            .collect();
        names.sort_by(|one, other| (one.from, &one.path).cmp(&(other.from, &other.path)));
        Self { file_id: file.id, aliases: file.aliases.clone(), names, names_cut: file.names_cut }
    }
}

/// Names that stand for the files: those of the targets at any time, and other names of the files from the first time that they were
/// seen with them.
pub(super) struct Named<'a> {
    targets: &'a [Target],
    others: HashMap<&'a str, i64>,
}

impl<'a> Named<'a> {
    pub(super) fn new(targets: &'a [Target], files: &'a Identities) -> Self {
        let mut others: HashMap<&str, i64> = HashMap::new();
        for name in files.files.all().iter().flat_map(|file| &file.names) {
            if others.len() >= NAMES {
                break;
            }
            if !targets.iter().any(|target| target.matches(&name.path)) {
                let from = others.entry(&name.path).or_insert(name.from);
                *from = name.from.min(*from);
            }
        }
        Self { targets, others }
    }

    /// Returns the conditions by which rows with such a name in a column are looked for; `None` if there are no names.
    pub(super) fn conditions(&self, column: &str) -> Option<Vec<Condition>> {
        let mut sought: Vec<Sought> = self.targets.iter().flat_map(Target::sought).collect();
        sought.extend(self.others.keys().map(|name| Sought::Text((*name).to_owned())));
        if sought.is_empty() {
            return None;
        }
        let is_all = sought.iter().any(|one| matches!(one, Sought::Prefix(prefix) if prefix.is_empty()));
        Some(if is_all { Vec::new() } else { vec![Condition::new(column, sought)] })
    }

    /// Returns whether a path stood for one of the files at that time.
    pub(super) fn has(&self, path: &str, time: i64) -> bool {
        self.targets.iter().any(|target| target.matches(path))
            || self.others.get(path).is_some_and(|from| *from <= time)
    }
}
