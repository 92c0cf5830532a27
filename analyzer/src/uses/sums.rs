//! Sums of what was done to files.

use jiff::tz::TimeZone;
use model::ZonedTime;
use serde::Serialize;

use super::columns::{FNAME, NEW_PATH, OWN, RET, TIME, TWO_NAMES};
use crate::identities::Identities;
use crate::store::Chunk;

/// Ways by which the kernel copies from one file into another.
const COPYING: [&str; 6] = ["sendfile", "splice", "tee", "copy_file_range", "clone_range", "dedupe_range"];
/// Errors by which the system refuses what it could do.
pub(crate) const REFUSALS: [&str; 3] = ["EACCES", "EPERM", "EROFS"];

/// Finds the counter that a row of a tracer counts in.
type Counter = fn(&mut Sums) -> &mut u64;

/// Counters of the calls that succeeded, by tracer.
const COUNTERS: [(&str, Counter); 7] = [
    ("open", |sums| &mut sums.opens),
    ("exec", |sums| &mut sums.execs),
    ("rename", |sums| &mut sums.renames),
    ("unlink", |sums| &mut sums.deletes),
    ("attr", |sums| &mut sums.attrs),
    ("link", |sums| &mut sums.links),
    ("truncate", |sums| &mut sums.truncations),
];

/// Sums of what was done to files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that were written.
    pub bytes_written: u64,
    /// Sum of the lengths of mappings.
    pub bytes_mapped: u64,
    /// The part of the bytes read and written that the kernel copied from one file into another.
    pub bytes_copied: u64,
    /// Number of all calls that read, wrote or mapped.
    pub calls: u64,
    /// Number of calls that read.
    pub calls_read: u64,
    /// Number of calls that wrote.
    pub calls_written: u64,
    /// Number of mappings.
    pub calls_mapped: u64,
    /// Time of the first use or attempt.
    pub first: Option<ZonedTime>,
    /// Time of the last use or attempt.
    pub last: Option<ZonedTime>,
    /// Number of opens that succeeded.
    pub opens: u64,
    /// Number of calls that the system refused (EACCES, EPERM, EROFS).
    pub refused: u64,
    /// Number of calls that failed for other reasons.
    pub failed: u64,
    /// Number of times that a file was executed.
    pub execs: u64,
    /// Number of renames.
    pub renames: u64,
    /// Number of names that were deleted, also by a rename that replaced the file.
    pub deletes: u64,
    /// Number of changes of attributes.
    pub attrs: u64,
    /// Number of links that were made.
    pub links: u64,
    /// Number of truncations, also by opens with O_TRUNC.
    pub truncations: u64,
    /// Number of other calls: folders and nodes that were made, modules that were loaded.
    pub others: u64,
}

/// Notes the names of a file in a row.
pub(super) fn note_names(files: &mut Identities, file: usize, tracer: &str, chunk: &Chunk<'_>, row: usize) {
    let Some(time) = chunk.int(row, TIME) else { return };
    if let Some(path) = chunk.text(row, FNAME) {
        files.note_path(file, path, time);
    }
    if TWO_NAMES.contains(&tracer) && chunk.int(row, RET) == Some(0) {
        chunk.text(row, NEW_PATH).into_iter().for_each(|path| files.note_path(file, path, time));
    }
}

impl Sums {
    /// Adds a row of a tracer about a file.
    pub(crate) fn add(&mut self, tracer: &str, chunk: &Chunk<'_>, row: usize) {
        if tracer == "usage" {
            return self.add_usage(chunk, row);
        }
        self.note(chunk.int(row, TIME), chunk.int(row, TIME));
        let is_failed = chunk.int(row, RET).is_some_and(|ret| ret < 0) || chunk.text(row, OWN).is_some();
        let errno = chunk.text(row, OWN);
        if is_failed {
            let is_refused = errno.is_some_and(|errno| REFUSALS.contains(&errno));
            *(if is_refused { &mut self.refused } else { &mut self.failed }) += 1;
            return;
        }
        if tracer == "open" {
            self.truncations += u64::from(chunk.texts(row, OWN + 1).any(|flag| flag == "O_TRUNC"));
        }
        let known = COUNTERS.iter().find(|(name, _)| *name == tracer);
        let counter = known.map_or((|sums| &mut sums.others) as Counter, |(_, counter)| *counter);
        *counter(self) += 1;
    }

    /// Adds a rename that replaced a file.
    pub(super) fn add_replaced(&mut self, chunk: &Chunk<'_>, row: usize) {
        self.note(chunk.int(row, TIME), chunk.int(row, TIME));
        self.deletes += 1;
    }

    fn add_usage(&mut self, chunk: &Chunk<'_>, row: usize) {
        let number = |index: usize| chunk.uint(row, OWN + index).unwrap_or_default();
        let (read, written) = (number(0), number(2));
        let calls = [number(1), number(3), number(5)];
        self.bytes_read = self.bytes_read.saturating_add(read);
        self.bytes_written = self.bytes_written.saturating_add(written);
        self.bytes_mapped = self.bytes_mapped.saturating_add(number(4));
        for (sum, more) in
            [&mut self.calls_read, &mut self.calls_written, &mut self.calls_mapped].into_iter().zip(calls)
        {
            *sum = sum.saturating_add(more);
            self.calls = self.calls.saturating_add(more);
        }
        let mut ways = chunk.texts(row, OWN + 8).peekable();
        if ways.peek().is_some() && ways.all(|way| COPYING.contains(&way)) {
            self.bytes_copied = self.bytes_copied.saturating_add(read).saturating_add(written);
        }
        let time = chunk.int(row, TIME);
        self.note(chunk.int(row, OWN + 6).or(time), chunk.int(row, OWN + 7).or(time));
    }

    fn note(&mut self, first: Option<i64>, last: Option<i64>) {
        let at = |utc_ns| ZonedTime { utc_ns, offset: 0 };
        let (first, last) = (first.map(at), last.map(at));
        self.first = [self.first, first].into_iter().flatten().min();
        self.last = self.last.max(last);
    }

    /// Returns the bytes that were read, written and mapped.
    pub fn weight(&self) -> u64 {
        self.bytes_read.saturating_add(self.bytes_written).saturating_add(self.bytes_mapped)
    }

    /// Shows all times in this zone.
    pub(crate) fn in_zone(&mut self, zone: &TimeZone) {
        for at in [&mut self.first, &mut self.last].into_iter().flatten() {
            *at = ZonedTime::new(at.utc_ns, zone);
        }
    }
}
