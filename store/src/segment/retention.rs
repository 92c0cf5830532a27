//! Removes the oldest segments when the store takes too much room.

use std::path::Path;
use std::time::Duration;

use model::Size;
use nix::sys::statvfs::statvfs;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::seal::Sealer;
use super::{Folder, Removed, State};
use crate::Error;
use crate::settings::{Limit, StoreSettings};
use crate::write::append;

/// Limits of the store, with values for this file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the whole store in bytes, above which segments are removed.
    pub max_size: u64,
    /// Age of its last row at which a segment is removed; `None`: never.
    pub max_age: Option<Duration>,
    /// Free space of the file system below which segments are removed.
    pub min_free: u64,
    /// Age up to which segments are kept, of those that take at most a quarter of `max_size`.
    pub min_keep: Duration,
}

/// Room on the disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Size of what is in the store's file. Its log, and pages that are free and will be used again, do not count: removing segments
    /// does not change them.
    pub database: u64,
    /// Size of the segments.
    pub segments: u64,
    /// Free space of the file system.
    pub free: u64,
    /// Size of the file system.
    pub total: u64,
}

/// The result of removing segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The segments that were removed.
    pub removed: Vec<Removed>,
    /// The limit that is still exceeded although nothing more may be removed.
    pub short: Option<String>,
}

/// A segment that may be removed.
struct Candidate {
    number: i64,
    /// Time of its last row, which decides when it is removed.
    last: i64,
    removed: Removed,
    collector_id: String,
}

impl Room {
    /// Measures the room that the store which is this connection's main file takes and has.
    ///
    /// # Errors
    /// SQLite can't read the file, or the file system can't be asked.
    pub fn of(connection: &Connection) -> Result<Self, Error> {
        let path = Path::new(connection.path().unwrap_or_default());
        let folder = path.parent().unwrap_or(path);
        let disk = statvfs(folder).map_err(|cause| Error::io("measure the disk of", folder)(cause.into()))?;
        let pragma = |name: &str| {
            connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        Ok(Self {
            database: pages * pragma("page_size")?,
            segments: Folder::beside(path).size(),
            free: disk.blocks_available() * disk.fragment_size(),
            total: disk.blocks() * disk.fragment_size(),
        })
    }

    /// Returns the size of the whole store.
    pub fn used(&self) -> u64 {
        self.database + self.segments
    }
}

impl Limits {
    /// Returns the limits that the settings mean on a file system of `total` bytes.
    pub fn of(settings: &StoreSettings, total: u64) -> Self {
        let size = |limit, auto: u64| match limit {
            Limit::Auto => auto,
            Limit::Is(Size(size)) => size,
        };
        Self {
            max_size: size(settings.max_size, (20 << 30).min(total / 10)),
            max_age: Some(settings.max_age.0).filter(|age| !age.is_zero()),
            min_free: size(settings.min_free, (1 << 30).min(total / 20)),
            min_keep: settings.min_keep.0,
        }
    }

    /// Returns the limit that is exceeded by so much that removing segments has not helped in time.
    pub fn exceeded_by_far(&self, room: &Room) -> Option<String> {
        let by_far = Self {
            max_size: self.max_size.saturating_add(self.max_size / 8),
            min_free: self.min_free / 2,
            ..*self
        };
        by_far.exceeded(room).and_then(|_| self.exceeded(room))
    }

    /// Returns the limit that is exceeded, in words.
    pub fn exceeded(&self, room: &Room) -> Option<String> {
        if room.used() > self.max_size {
            let (used, most) = (Size(room.used()).rounded(), Size(self.max_size));
            return Some(format!("the store takes {used}, and store.max_size is {most}"));
        }
        if room.free < self.min_free {
            let (free, least) = (Size(room.free).rounded(), Size(self.min_free));
            return Some(format!("{free} of the disk are free, and store.min_free is {least}"));
        }
        None
    }
}

impl Sealer<'_> {
    /// Removes segments as the limits demand, the oldest first.
    ///
    /// # Errors
    /// The store can't be written, or files can't be removed.
    pub fn prune(&mut self, limits: &Limits) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let mut candidates = self.candidates(limits)?.into_iter();
        self.remove_files()?;
        // What was moved away counts until it is deleted. Readers keep it, unless its room is needed.
        let is_short = limits.exceeded(&self.room()?).is_some();
        self.folder.empty(is_short, self.moment.utc_ns)?;
        loop {
            let room = self.room()?;
            let exceeded = limits.exceeded(&room);
            let Some(mut candidate) = candidates.next() else {
                pruned.short = exceeded;
                break;
            };
            let age = Duration::from_nanos(self.moment.utc_ns.saturating_sub(candidate.last).max(0) as u64);
            let too_old = limits.max_age.is_some_and(|most| age > most);
            let Some(cause) =
                exceeded.or_else(|| too_old.then(|| "it is older than store.max_age".to_owned()))
            else {
                break;
            };
            candidate.removed.cause = cause;
            self.remove(&candidate)?;
            pruned.removed.push(candidate.removed);
            // Readers keep what they read, unless there is no room for it.
            let is_short = limits.exceeded(&self.room()?).is_some();
            self.folder.empty(is_short, self.moment.utc_ns)?;
        }
        Ok(pruned)
    }

    fn room(&self) -> Result<Room, Error> {
        Room::of(self.connection)
    }

    /// Returns the segments that may be removed, the oldest first: not the newest ones that `min_keep` protects.
    fn candidates(&self, limits: &Limits) -> Result<Vec<Candidate>, Error> {
        let sql = "SELECT number, name, rows, bytes, first, last,
                   ifnull((SELECT collector_id FROM duetector_actors_run ORDER BY rowid DESC LIMIT 1), '')
                   FROM segment WHERE state = 'sealed' ORDER BY number";
        let mut segments = self.connection.prepare(sql)?;
        let segments = segments.query_map([], |row| {
            let removed = Removed {
                name: row.get(1)?,
                rows: row.get(2)?,
                bytes: row.get::<_, i64>(3)?.unsigned_abs(),
                span: (row.get(4)?, row.get(5)?),
                cause: String::new(),
            };
            let last = removed.span.1;
            Ok(Candidate { number: row.get(0)?, last, removed, collector_id: row.get(6)? })
        })?;
        let mut all = segments.collect::<rusqlite::Result<Vec<_>>>()?;
        self.date(&mut all)?;
        all.sort_by_key(|candidate| (std::cmp::Reverse(candidate.last), std::cmp::Reverse(candidate.number)));
        let (mut candidates, mut kept) = (Vec::new(), 0);
        let keep = i64::try_from(limits.min_keep.as_nanos()).unwrap_or(i64::MAX);
        for candidate in all {
            kept += candidate.removed.bytes;
            let is_young = self.moment.utc_ns.saturating_sub(candidate.last) < keep;
            if !is_young || kept > limits.max_size / 4 {
                candidates.push(candidate);
            }
        }
        candidates.reverse();
        Ok(candidates)
    }

    /// Finds a time for segments whose last row is from the future, which a clock that was set back has left: that of the segment
    /// sealed after it, since its rows are older than those; the present, if there is none. Merged segments, which were sealed
    /// after it but have older rows, do not decide.
    fn date(&self, candidates: &mut [Candidate]) -> Result<(), Error> {
        let now = self.moment.utc_ns;
        let sql = "SELECT last FROM segment WHERE number > ?1 AND last <= ?2 AND last > ifnull(
                   (SELECT max(last) FROM segment WHERE number < ?1 AND last <= ?2), -9223372036854775808)
                   ORDER BY number LIMIT 1";
        let mut next = self.connection.prepare(sql)?;
        for candidate in candidates.iter_mut().filter(|candidate| candidate.last > now) {
            let found = next.query_row([candidate.number, now], |row| row.get(0)).optional()?;
            candidate.last = found.unwrap_or(now);
        }
        Ok(())
    }

    fn remove(&mut self, candidate: &Candidate) -> Result<(), Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let pruned = State::Pruned.as_str();
        transaction
            .execute("UPDATE segment SET state = ? WHERE number = ?", params![pruned, candidate.number])?;
        append(&transaction, &candidate.collector_id, &[candidate.removed.row(&self.moment)])?;
        transaction.commit()?;
        self.remove_files()
    }
}

/// Returns the age of the oldest unsealed row and the size of all unsealed batches, which decide whether sealing is due.
///
/// # Errors
/// SQLite can't read the file.
pub(super) fn unsealed_sum(connection: &Connection) -> rusqlite::Result<(Option<i64>, i64, i64)> {
    let sql = "SELECT min(first), ifnull(sum(length(data)), 0), ifnull(sum(rows), 0) FROM batch LEFT JOIN sealing USING (stream)
               WHERE first_id >= ifnull(sealed, 0)";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}
