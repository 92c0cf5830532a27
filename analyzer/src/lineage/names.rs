//! Names of files over time, and files by their names.

use std::collections::HashMap;

use super::facts::{Facts, Sighting};

/// A use that was recorded at most this long before a rename can have been after it.
const SLACK_NS: i64 = 10_000_000;

/// Names of files.
#[derive(Debug, Default)]
pub(super) struct FileNames {
    /// For each file its names with the time at which it had each first, in order of time.
    of: HashMap<u32, Vec<(i64, u32)>>,
    /// For each name the files that had it, with the time at which each had it first.
    by_name: HashMap<u32, Vec<(i64, u32)>>,
}

impl FileNames {
    pub(super) fn of(facts: &Facts) -> Self {
        let mut names = Self::default();
        for Sighting { file, name, at } in &facts.sightings {
            names.add(*file, *name, *at);
        }
        for renaming in &facts.renamings {
            let file = renaming.file.or_else(|| names.holder(renaming.old, renaming.at));
            if let Some(file) = file {
                names.add(file, renaming.new, renaming.at);
            }
        }
        for names in names.of.values_mut() {
            names.sort_unstable();
        }
        names
    }

    fn add(&mut self, file: u32, name: u32, at: i64) {
        let of = self.of.entry(file).or_default();
        if of.iter().all(|(_, known)| *known != name) {
            of.push((at, name));
            self.by_name.entry(name).or_default().push((at, file));
        }
    }

    /// Returns the file that had a name last before a time.
    fn holder(&self, name: u32, at: i64) -> Option<u32> {
        let holders = self.by_name.get(&name)?.iter();
        holders.filter(|(since, _)| *since <= at + SLACK_NS).max().map(|(_, file)| *file)
    }

    /// Returns all files that ever had a name.
    pub(super) fn files(&self, name: u32) -> impl Iterator<Item = u32> {
        self.by_name.get(&name).into_iter().flatten().map(|(_, file)| *file)
    }

    /// Returns the numbers of a file's names, in order of time.
    pub(super) fn names(&self, file: u32) -> impl Iterator<Item = u32> {
        self.of.get(&file).into_iter().flatten().map(|(_, name)| *name)
    }

    /// Returns the name that a file had last.
    pub(super) fn last(&self, file: u32) -> Option<u32> {
        self.of.get(&file)?.last().map(|(_, name)| *name)
    }
}
