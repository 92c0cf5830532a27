//! Finds the files that a question is about: all identities that a path, folder or pattern had in a stretch of time, and all names of
//! these. A file keeps its identity when it is renamed, linked or reached through a bind mount. On an overlay, a file has a second
//! identity in its layer.

mod known;

use store::{Condition, Sought};

pub use known::{KnownFile, KnownFiles, Name};

use crate::Error;
use crate::Store;
use crate::file_id::FileId;
use crate::span::Span;
use crate::store::{Chunk, Walk, Walker};
use crate::target::{Target, path_of};

/// The tracers whose rows are about files that can be named.
pub(crate) const TRACERS: [&str; 10] =
    ["usage", "open", "exec", "rename", "link", "unlink", "truncate", "attr", "mkdir", "module"];
/// Number of files up to which a target's files are kept apart. Each takes some 300 bytes.
const FILES: usize = 250_000;

/// The columns by which a file is recognised.
const COLUMNS: [&str; 12] = [
    "fname",
    "time",
    "dev",
    "ino",
    "generation",
    "real_dev",
    "real_ino",
    "real_generation",
    "ret",
    "replaced_dev",
    "replaced_ino",
    "replaced_generation",
];
/// Indexes of these columns.
const FNAME: usize = 0;
const TIME: usize = 1;
const ID: usize = 2;
const REAL: usize = 5;
const RET: usize = 8;
const REPLACED: usize = 9;

/// The files that targets name, in a stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    /// The files, with their names as far as those were noted.
    pub files: KnownFiles,
    /// Number of rows about files that are not in the list, because it is full.
    pub left_out: u64,
}

impl Identities {
    /// Finds the files of the targets, and all names that they had in this time.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn find(store: &Store, targets: &[Target], span: Span) -> Result<Self, Error> {
        let walker = Walker::new(store)?;
        let mut found = Self::search(&walker, targets, span)?;
        let selection = span.select(found.conditions("ino"));
        for tracer in TRACERS {
            walker.walk(Walk { tracer, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
                for row in 0..chunk.len() {
                    if let Some(file) = found.of_row(chunk, row, ID) {
                        found.note(file, chunk, row);
                    }
                }
            })?;
        }
        found.note_new_names(&walker, span)?;
        Ok(found)
    }

    /// Finds the files of the targets. Names are those of the targets only.
    pub(crate) fn search(walker: &Walker<'_>, targets: &[Target], span: Span) -> Result<Self, Error> {
        let mut found = Self::default();
        for target in targets {
            if let Target::Id(id) = target {
                found.files.add(*id);
            }
        }
        let asked = found.files.clone();
        if targets.iter().any(|target| !target.sought().is_empty()) {
            for tracer in TRACERS {
                found.search_in(walker, (tracer, "fname"), targets, span)?;
            }
            for tracer in ["rename", "link"] {
                found.search_in(walker, (tracer, "new_path"), targets, span)?;
            }
        }
        if !asked.all().is_empty() {
            found.add_asked(walker, &asked, span)?;
        }
        found.add_overlays(walker, span)?;
        Ok(found)
    }

    /// Adds the files of rows whose path in a column matches.
    fn search_in(
        &mut self,
        walker: &Walker<'_>,
        (tracer, column): (&str, &'static str),
        targets: &[Target],
        span: Span,
    ) -> Result<(), Error> {
        let mut columns = COLUMNS;
        columns[FNAME] = column;
        let sought: Vec<Sought> = targets.iter().flat_map(Target::sought).collect();
        let matches = |path: &str| targets.iter().any(|target| target.matches(path));
        let all = sought.iter().any(|sought| matches!(sought, Sought::Prefix(prefix) if prefix.is_empty()));
        let conditions = if all { Vec::new() } else { vec![Condition::new(column, sought)] };
        let selection = span.select(conditions);
        walker.walk(Walk { tracer, columns: &columns, selection: &selection }, &mut |chunk| {
            for row in 0..chunk.len() {
                if !chunk.text(row, FNAME).is_some_and(matches) {
                    continue;
                }
                if column == "fname" {
                    self.add(chunk, row, id_of(chunk, row, ID));
                } else if chunk.int(row, RET) == Some(0) {
                    self.add(chunk, row, id_of(chunk, row, ID));
                    self.add(chunk, row, id_of(chunk, row, REPLACED));
                }
            }
        })
    }

    /// Adds a file that has the name in a row.
    fn add(&mut self, chunk: &Chunk<'_>, row: usize, id: Option<FileId>) {
        let Some(id) = id else { return };
        let known = self.files.find(&id);
        if known.is_none() && self.files.all().len() >= FILES {
            self.left_out += 1;
            return;
        }
        let file = self.files.add(id);
        if id_of(chunk, row, ID) == Some(id)
            && let Some(real) = id_of(chunk, row, REAL)
        {
            self.files.add_alias(file, real);
        }
        self.note(file, chunk, row);
    }

    /// Notes the name of a file in a row.
    fn note(&mut self, file: usize, chunk: &Chunk<'_>, row: usize) {
        if let (Some(path), Some(time)) = (chunk.text(row, FNAME), chunk.int(row, TIME)) {
            self.note_path(file, path, time);
        }
    }

    /// Notes that a file had this path.
    pub(crate) fn note_path(&mut self, file: usize, path: &str, time: i64) {
        if path.starts_with('/') {
            self.files.note_name(file, path_of(path), time);
        }
    }

    /// Returns the file that a row is about, if it is one of these. Its identity is in the columns from `at` on.
    #[inline]
    pub(crate) fn of_row(&self, chunk: &Chunk<'_>, row: usize, at: usize) -> Option<usize> {
        self.files.find(&id_of(chunk, row, at)?)
    }

    /// Returns the condition that a column has the inode number of one of the files; none if it can't be said by one.
    pub(crate) fn conditions(&self, column: &str) -> Vec<Condition> {
        let inodes: Option<Vec<i64>> = self.files.inodes().map(|ino| i64::try_from(ino).ok()).collect();
        let Some(mut inodes) = inodes else { return Vec::new() };
        inodes.sort_unstable();
        inodes.dedup();
        vec![Condition::new(column, inodes.into_iter().map(Sought::Int).collect())]
    }

    /// Adds what rows say about files that were named by identity: generations, if none was named, and identities in layers of overlays.
    fn add_asked(&mut self, walker: &Walker<'_>, asked: &KnownFiles, span: Span) -> Result<(), Error> {
        let selection = span.select(self.conditions("ino"));
        for tracer in TRACERS {
            walker.walk(Walk { tracer, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
                for row in 0..chunk.len() {
                    let Some(id) = id_of(chunk, row, ID).filter(|id| asked.find(id).is_some()) else {
                        continue;
                    };
                    self.add(chunk, row, Some(id));
                }
            })?;
        }
        Ok(())
    }

    /// Adds the identities on overlays of files that are in a layer.
    fn add_overlays(&mut self, walker: &Walker<'_>, span: Span) -> Result<(), Error> {
        // The files of layers that were found by an overlay stand for other overlays' files, too: those are not asked for.
        let own: Vec<FileId> = self.files.all().iter().map(|file| file.id).collect();
        let selection = span.select(self.conditions("real_ino"));
        for tracer in TRACERS {
            let mut found = Vec::new();
            walker.walk(Walk { tracer, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
                for row in 0..chunk.len() {
                    let Some(real) = id_of(chunk, row, REAL) else { continue };
                    let Some(file) = self.files.find(&real).filter(|file| own[*file].fits(&real)) else {
                        continue;
                    };
                    found.extend(id_of(chunk, row, ID).map(|id| (file, id)));
                }
            })?;
            found.into_iter().for_each(|(file, id)| self.files.add_alias(file, id));
        }
        Ok(())
    }

    /// Notes the names that files got by renames and links.
    fn note_new_names(&mut self, walker: &Walker<'_>, span: Span) -> Result<(), Error> {
        let (mut columns, selection) = (COLUMNS, span.select(self.conditions("ino")));
        columns[FNAME] = "new_path";
        for tracer in ["rename", "link"] {
            walker.walk(Walk { tracer, columns: &columns, selection: &selection }, &mut |chunk| {
                for row in 0..chunk.len() {
                    if let (Some(file), Some(0)) = (self.of_row(chunk, row, ID), chunk.int(row, RET)) {
                        self.note(file, chunk, row);
                    }
                }
            })?;
        }
        Ok(())
    }
}

/// Returns the identity in three columns of a row: device, inode number and generation.
#[inline]
pub(crate) fn id_of(chunk: &Chunk<'_>, row: usize, at: usize) -> Option<FileId> {
    let (ino, dev) = (chunk.uint(row, at + 1)?, chunk.uint(row, at)?);
    let generation = chunk.uint(row, at + 2).and_then(|generation| u32::try_from(generation).ok());
    Some(FileId { dev, ino, generation })
}
