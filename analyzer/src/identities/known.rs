//! The files that a question is about, found by identity, with the names that they had.

use foldhash::HashMap;

use crate::file_id::FileId;

/// Number of names that are kept of one file. Renaming a file is cheap, so a hostile program may do it any number of times.
const NAMES: usize = 256;

/// A name that a file had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Path of the file.
    pub path: String,
    /// Time at which it was seen first with this name, in nanoseconds since 1970, UTC.
    pub from: i64,
    /// Time at which it was seen last with this name.
    pub to: i64,
}

/// A file with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// Identity of the file.
    pub id: FileId,
    /// Other identities under which the same data are reached: those of an overlay's layers.
    pub aliases: Vec<FileId>,
    /// Names of the file, in the order in which they were found.
    pub names: Vec<Name>,
    /// Number of times that a name was not kept, because the file has too many.
    pub names_cut: u64,
}

/// The generation and the index of a file.
type Entry = (Option<u32>, u32);

/// Files by their identities.
#[derive(Clone, Debug, Default)]
pub struct KnownFiles {
    files: Vec<KnownFile>,
    /// Indexes of files by device and inode number, with the generation.
    index: HashMap<(u64, u64), Vec<Entry>>,
}

impl KnownFiles {
    /// Returns all files.
    pub fn all(&self) -> &[KnownFile] {
        &self.files
    }

    /// Returns the index of the file with this identity.
    #[inline]
    pub fn find(&self, id: &FileId) -> Option<usize> {
        let entries = self.index.get(&(id.dev, id.ino))?;
        let fits = |other: &&Entry| other.0 == id.generation;
        let found = entries.iter().find(fits).or_else(|| {
            // One of the two has no generation.
            let is_open = |other: &&Entry| other.0.is_none() || id.generation.is_none();
            entries.iter().find(is_open)
        });
        found.map(|(_, index)| *index as usize)
    }

    /// Adds a file, unless it is known. Returns its index.
    pub(super) fn add(&mut self, id: FileId) -> usize {
        if let Some(found) = self.find(&id) {
            self.learn(found, id);
            return found;
        }
        self.files.push(KnownFile { id, aliases: Vec::new(), names: Vec::new(), names_cut: 0 });
        let index = self.files.len() - 1;
        self.enter(id, index);
        index
    }

    /// Adds another identity of a file, unless it is that of a known one.
    pub(super) fn add_alias(&mut self, index: usize, alias: FileId) {
        if self.find(&alias).is_none() {
            self.files[index].aliases.push(alias);
            self.enter(alias, index);
        }
    }

    /// Notes the generation of a file that was known without one.
    fn learn(&mut self, index: usize, id: FileId) {
        let file = &mut self.files[index];
        if id.generation.is_none() || file.id.generation.is_some() || !file.id.fits(&id) {
            return;
        }
        file.id = id;
        for entry in self.index.entry((id.dev, id.ino)).or_default() {
            if entry.1 as usize == index && entry.0.is_none() {
                entry.0 = id.generation;
            }
        }
    }

    fn enter(&mut self, id: FileId, index: usize) {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.index.entry((id.dev, id.ino)).or_default().push((id.generation, index));
    }

    /// Notes that a file had this name at this time.
    pub(crate) fn note_name(&mut self, index: usize, path: &str, time: i64) {
        let file = &mut self.files[index];
        // Rows that follow each other mostly have the same name.
        let count = file.names.len();
        let is_last = file.names.last().is_some_and(|last| last.path == path);
        let known = if is_last {
            file.names.last_mut()
        } else {
            file.names.iter_mut().find(|name| name.path == path)
        };
        match known {
            Some(name) => (name.from, name.to) = (name.from.min(time), name.to.max(time)),
            None if count < NAMES => {
                file.names.push(Name { path: path.to_owned(), from: time, to: time });
            }
            None => file.names_cut += 1,
        }
    }

    /// Returns the inode numbers of all identities, those of aliases included.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = u64> {
        self.index.keys().map(|(_, ino)| *ino)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ino: u64, generation: Option<u32>) -> FileId {
        FileId { dev: 1, ino, generation }
    }

    #[test]
    fn a_row_without_a_generation_is_of_the_file_that_has_one() {
        let mut files = KnownFiles::default();
        let first = files.add(id(5, None));
        assert_eq!(files.add(id(5, Some(7))), first);
        assert_eq!((files.find(&id(5, None)), files.find(&id(5, Some(8)))), (Some(first), None));
        let second = files.add(id(5, Some(8)));
        assert_ne!(second, first);
        assert_eq!((files.find(&id(5, Some(7))), files.find(&id(6, None))), (Some(first), None));
        files.add_alias(second, id(9, Some(1)));
        assert_eq!(files.find(&id(9, Some(1))), Some(second));
    }

    #[test]
    fn names_of_one_file_are_bounded_and_counted() {
        let mut files = KnownFiles::default();
        let file = files.add(id(5, None));
        for number in 0..300 {
            files.note_name(file, &format!("/x{}", number % 290), number);
        }
        let known = &files.all()[file];
        assert_eq!((known.names.len(), known.names_cut), (NAMES, 34));
        assert_eq!(known.names[3], Name { path: "/x3".to_owned(), from: 3, to: 293 });
    }
}
