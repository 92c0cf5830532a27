//! Names of files over time, and files by their names.

use std::collections::HashMap;

use super::facts::{Facts, Sighting};

/// A use that was recorded at most this long before a rename can have been after it.
const SLACK_NS: i64 = 10_000_000;

/// Names of files: those with which rows show them, and those that they got by a rename or a link.
#[derive(Debug, Default)]
pub(super) struct FileNames {
    /// Each file with each of its names, and when it first had it, in order of files and then of names.
    seen: Vec<Sighting>,
    /// Indexes of `seen` in order of names.
    by_name: Vec<u32>,
    /// As `seen`, for each file.
    given: HashMap<u32, Vec<Sighting>>,
    /// Files that were given a name, by the name.
    given_names: HashMap<u32, Vec<Sighting>>,
}

impl FileNames {
    /// Finds the names. Takes what is only needed for them from the facts.
    pub(super) fn of(facts: &mut Facts) -> Self {
        facts.join_sightings();
        let mut seen = std::mem::take(&mut facts.sightings);
        seen.shrink_to_fit();
        let mut by_name: Vec<u32> = (0..seen.len() as u32).collect();
        by_name.sort_unstable_by_key(|index| (seen[*index as usize].name, *index));
        let mut names = Self { seen, by_name, ..Self::default() };
        for renaming in std::mem::take(&mut facts.renamings) {
            let file = renaming.file.or_else(|| names.holder(renaming.old, renaming.at));
            if let Some(file) = file {
                names.give(Sighting { file, name: renaming.new, at: renaming.at });
            }
        }
        names
    }

    fn give(&mut self, one: Sighting) {
        if self.of_file(one.file).all(|known| known.name != one.name) {
            self.given.entry(one.file).or_default().push(one);
            self.given_names.entry(one.name).or_default().push(one);
        }
    }

    fn of_file(&self, file: u32) -> impl Iterator<Item = Sighting> {
        let begin = self.seen.partition_point(|one| one.file < file);
        let seen = self.seen[begin..].iter().take_while(move |one| one.file == file);
        seen.chain(self.given.get(&file).into_iter().flatten()).copied()
    }

    fn of_name(&self, name: u32) -> impl Iterator<Item = Sighting> {
        let one = |index: &u32| self.seen[*index as usize];
        let begin = self.by_name.partition_point(|index| one(index).name < name);
        let seen = self.by_name[begin..].iter().map(one).take_while(move |one| one.name == name);
        seen.chain(self.given_names.get(&name).into_iter().flatten().copied())
    }

    /// Returns the file that had a name last before a time.
    fn holder(&self, name: u32, at: i64) -> Option<u32> {
        let holders = self.of_name(name).filter(|one| one.at <= at + SLACK_NS);
        holders.map(|one| (one.at, one.file)).max().map(|(_, file)| file)
    }

    /// Returns all files that ever had a name.
    pub(super) fn files(&self, name: u32) -> impl Iterator<Item = u32> {
        self.of_name(name).map(|one| one.file)
    }

    /// Returns the numbers of a file's names, in order of time.
    pub(super) fn names(&self, file: u32) -> impl Iterator<Item = u32> {
        let mut names: Vec<(i64, u32)> = self.of_file(file).map(|one| (one.at, one.name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name)
    }

    /// Returns the time at which a file was seen first.
    pub(super) fn first_time(&self, file: u32) -> Option<i64> {
        self.of_file(file).map(|one| one.at).min()
    }

    /// Returns the name that a file had last.
    pub(super) fn last(&self, file: u32) -> Option<u32> {
        self.of_file(file).map(|one| (one.at, one.name)).max().map(|(_, name)| name)
    }
}
