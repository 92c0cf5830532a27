//! The question `uses`: who used these files, how much, and what else was done to them.

mod columns;
mod groups;
mod sums;
mod targets;
mod unjoined;

use jiff::tz::TimeZone;
use serde::Serialize;

pub use groups::{By, Group, UsesRow};
pub(crate) use sums::REFUSALS;
pub use sums::Sums;
pub use targets::{NameSpan, TargetFile};

use crate::evidence::{Asked, Evidence, Traits};
use crate::identities::{Identities, TRACERS, id_of};
use crate::span::Span;
use crate::store::{Chunk, Walk, Walker};
use crate::target::Target;
use crate::{Error, Store};
use groups::Groups;
use targets::Named;

/// A question who used files.
#[derive(Clone, Debug)]
pub struct UsesQuery {
    /// The files that are asked for.
    pub targets: Vec<Target>,
    /// Only rows of this time.
    pub span: Span,
    /// The kind of groups: a row of the answer is about one.
    pub by: By,
    /// The zone in which times and days are shown.
    pub zone: TimeZone,
    /// Number of groups that are kept apart. Those that are found later are added up.
    pub limit: usize,
}

/// Number of groups that are kept apart unless a question says otherwise. Each takes some 500 bytes.
pub const DEFAULT_GROUPS: usize = 200_000;
/// Number of files that an answer lists.
const LISTED: usize = 10_000;

/// The answer: the files, and a row for each group.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Uses {
    /// The files, with their names.
    pub targets: Vec<TargetFile>,
    /// Number of the files, if there are more than those listed.
    pub files: usize,
    /// The groups, those that moved most bytes first.
    pub rows: Vec<UsesRow>,
}

impl Uses {
    /// Returns whether no row is about the files: an identity that was asked for has no name then.
    pub fn is_nothing(&self) -> bool {
        self.rows.is_empty() && self.targets.iter().all(|file| file.names.is_empty())
    }

    fn traits(&self) -> Traits {
        let has = |count: fn(&Sums) -> u64| self.rows.iter().any(|row| count(&row.sums) > 0);
        let mut names = self.targets.iter().flat_map(|file| &file.names);
        Traits {
            asked: Asked::Files,
            has_mapped: has(|sums| sums.calls_mapped),
            has_executed: has(|sums| sums.execs),
            has_overlay: self.targets.iter().any(|file| !file.aliases.is_empty()),
            has_system_files: names.any(|name| Traits::is_of_system(&name.path)),
            ..Traits::default()
        }
    }
}

impl UsesQuery {
    /// Answers the question, and says what the answer may lack. While an agent writes, the caller begins a moment of the store first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn run(&self, store: &Store) -> Result<(Uses, Evidence), Error> {
        let walker = Walker::new(store)?;
        let mut files = Identities::search(&walker, &self.targets, self.span)?;
        let mut groups = Groups::new(self.by, self.zone.clone(), self.limit);
        for tracer in TRACERS.into_iter().filter(|tracer| walker.has(tracer)) {
            self.by_identity(&walker, tracer, &mut files, &mut groups)?;
        }
        let named = Named::new(&self.targets, &files);
        for tracer in TRACERS.into_iter().filter(|tracer| *tracer != "usage" && walker.has(tracer)) {
            self.by_name(&walker, tracer, (&named, &files), &mut groups)?;
        }
        let mut evidence = Evidence::by(&walker, self.span, &TRACERS)?;
        evidence.add_cut("files", "more files than are kept apart: rows about the others", files.left_out);
        let left_out = groups.left_out;
        evidence.add_cut(
            "groups",
            "more groups than are kept apart: rows of the others are added up",
            left_out,
        );
        let listed = files.files.all().iter().take(LISTED);
        let targets = listed.map(|file| TargetFile::new(file, &self.zone)).collect();
        let uses = Uses { targets, files: files.files.all().len(), rows: groups.finish() };
        evidence.decide(&uses.traits());
        unjoined::add(&mut evidence, &walker, (&self.targets, &uses.targets), self.span)?;
        Ok((uses, evidence))
    }

    /// Adds up the rows of a tracer about files whose identity is known.
    fn by_identity(
        &self,
        walker: &Walker<'_>,
        tracer: &'static str,
        files: &mut Identities,
        groups: &mut Groups,
    ) -> Result<(), Error> {
        let names = columns(self.by, tracer);
        let selection = self.span.select(files.conditions("ino"));
        walker.walk(Walk { tracer, columns: &names, selection: &selection }, &mut |chunk| {
            for row in 0..chunk.len() {
                let Some(file) = files.of_row(chunk, row, columns::ID) else { continue };
                sums::note_names(files, file, tracer, chunk, row);
                groups.of(chunk, row).add(tracer, chunk, row);
            }
        })?;
        if tracer != "rename" {
            return Ok(());
        }
        // A file that a rename replaces loses its name.
        let selection = self.span.select(files.conditions("replaced_ino"));
        walker.walk(Walk { tracer, columns: &names, selection: &selection }, &mut |chunk| {
            for row in 0..chunk.len() {
                if chunk.int(row, columns::RET) == Some(0)
                    && files.of_row(chunk, row, columns::REPLACED).is_some()
                {
                    groups.of(chunk, row).add_replaced(chunk, row);
                }
            }
        })
    }

    /// Adds up the rows of a tracer that name a file but have no identity, such as attempts that were refused.
    fn by_name(
        &self,
        walker: &Walker<'_>,
        tracer: &'static str,
        (named, files): (&Named<'_>, &Identities),
        groups: &mut Groups,
    ) -> Result<(), Error> {
        let add = |column: &str, at: usize, groups: &mut Groups| {
            let Some(conditions) = named.conditions(column) else { return Ok(()) };
            let names = columns(self.by, tracer);
            let selection = self.span.select(conditions);
            walker.walk(Walk { tracer, columns: &names, selection: &selection }, &mut |chunk: &Chunk<'_>| {
                for row in 0..chunk.len() {
                    let time = chunk.int(row, columns::TIME).unwrap_or_default();
                    let has = |at: usize| chunk.text(row, at).is_some_and(|path| named.has(path, time));
                    // Rows that have both names are found by the first one.
                    if has(at)
                        && (at == columns::FNAME || !has(columns::FNAME))
                        && !is_known(files, chunk, row)
                    {
                        groups.of(chunk, row).add(tracer, chunk, row);
                    }
                }
            })
        };
        add("fname", columns::FNAME, groups)?;
        if columns::TWO_NAMES.contains(&tracer) { add("new_path", columns::NEW_PATH, groups) } else { Ok(()) }
    }
}

/// Returns whether a row counts by its identity: it has that of one of the files, or that of another file, unless the call failed.
fn is_known(files: &Identities, chunk: &Chunk<'_>, row: usize) -> bool {
    let is_failed = chunk.int(row, columns::RET).is_some_and(|ret| ret < 0);
    id_of(chunk, row, columns::ID).is_some_and(|id| !is_failed || files.files.find(&id).is_some())
}

/// The columns of a tracer that sums of one process are made from.
pub(crate) struct UsageColumns(Vec<&'static str>);

impl UsageColumns {
    /// Returns the columns of a tracer.
    pub(crate) fn of(tracer: &str) -> Self {
        let mut names = columns(By::Day, tracer);
        names[0] = "exec_id";
        Self(names)
    }

    /// Returns their names.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.0
    }

    /// Returns the index of the first column of the file's identity.
    pub(crate) fn id(&self) -> usize {
        columns::ID
    }

    /// Returns the identity of the process that a row is about.
    pub(crate) fn exec_id<'a>(&self, chunk: &'a Chunk<'_>, row: usize) -> Option<&'a str> {
        chunk.text(row, 0)
    }

    /// Returns the path of a row's file.
    pub(crate) fn path<'a>(&self, chunk: &'a Chunk<'_>, row: usize) -> Option<&'a str> {
        chunk.text(row, columns::FNAME)
    }
}

/// Returns the columns of a tracer that are read.
fn columns(by: By, tracer: &str) -> Vec<&'static str> {
    by.columns().into_iter().chain(columns::of_tracer(tracer)).collect()
}
