//! Finds the segments that a lost file has left beside a new one. Only their manifests are read here; the process that seals checks
//! the files, and makes their rows readable ([`super::Sealer::adopt`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::manifest::{Manifest, Reference};
use super::{Folder, State, folder};
use crate::{Error, format};

/// Segments in the folder of a new file, which does not list them yet.
#[derive(Clone, Debug, Default)]
pub struct Found {
    segments: Vec<FoundSegment>,
    /// Segments that are left alone, with the reason.
    pub strange: Vec<(String, String)>,
}

/// A segment that the new file goes on with.
#[derive(Clone, Debug)]
struct FoundSegment {
    number: i64,
    state: State,
    manifest: Manifest,
    hash: String,
}

/// The stream and the numbers of rows of a file: first and last.
type Rows = BTreeMap<(String, String), Vec<(i64, i64)>>;

impl Found {
    /// Looks for segments beside the store's file `path`. `known` is the id of the file that was lost; if it is not known, the id of
    /// the last segment is taken.
    ///
    /// # Errors
    /// The folder can't be listed, or others may write to it.
    pub fn beside(path: &Path, known: Option<&str>) -> Result<Self, Error> {
        let at = Folder::beside(path);
        if !at.path().exists() {
            return Ok(Self::default());
        }
        folder::make(at.path())?;
        let (mut found, mut read) = (Self::default(), Vec::new());
        for name in at.segments()? {
            match of_folder(&at, &name) {
                Ok(segment) => read.push(segment),
                Err(why) => found.strange.push((name, why)),
            }
        }
        read.sort_by_key(|segment| segment.number);
        found.divide(&at, read, known);
        Ok(found)
    }

    /// Divides the segments into those that belong to the lost file and were not altered, and all others.
    fn divide(&mut self, at: &Folder, read: Vec<FoundSegment>, known: Option<&str>) {
        let ours = belonging(&read, known);
        let named: BTreeMap<String, BTreeSet<String>> = read
            .iter()
            .filter(|one| ours.contains(&one.manifest.name))
            .flat_map(|one| one.manifest.previous.iter().chain(&one.manifest.replaces))
            .fold(BTreeMap::new(), |mut all, Reference { name, sha256 }| {
                all.entry(name.clone()).or_insert_with(BTreeSet::new).insert(sha256.clone());
                all
            });
        let merged: BTreeSet<String> = read
            .iter()
            .filter(|one| ours.contains(&one.manifest.name))
            .flat_map(|one| one.manifest.replaces.iter().map(|replaced| replaced.name.clone()))
            .collect();
        let mut rows = Rows::new();
        for mut one in read {
            let name = one.manifest.name.clone();
            let why = if !ours.contains(&name) {
                Some(format!("it is a segment of another store ({})", one.manifest.store))
            } else if named.get(&name).is_some_and(|hashes| hashes.iter().any(|hash| *hash != one.hash)) {
                Some("its segment.json was altered: another segment names it with another hash".to_owned())
            } else if self.segments.last().is_some_and(|last| last.number == one.number) {
                Some("another segment has its number".to_owned())
            } else {
                one.state = if merged.contains(&name) { State::Merged } else { one.state_in(at) };
                (one.state != State::Merged && !one.take_numbers(&mut rows))
                    .then(|| "another segment has rows with the same numbers".to_owned())
            };
            match why {
                Some(why) => self.strange.push((name, why)),
                None => self.segments.push(one),
            }
        }
    }

    /// Returns the number of rows of a stream in the segments, from the row with number `from` on. Rows that were removed to make room
    /// count, too.
    pub fn rows(&self, tracer: &str, collector_id: &str, from: i64) -> u64 {
        let segments = self.segments.iter().filter(|one| one.state != State::Merged);
        let files = segments.flat_map(|one| &one.manifest.files);
        let files = files.filter(|file| file.tracer == tracer && file.collector_id == collector_id);
        let rows = files.map(|file| (file.last_id - file.first_id.max(from) + 1).clamp(0, file.rows));
        rows.sum::<i64>().unsigned_abs()
    }

    /// Writes the segments into the list of a new file. New rows get numbers above those of the segments.
    pub(crate) fn list(&self, connection: &Connection, run_id: &str) -> Result<(), Error> {
        for one in &self.segments {
            let FoundSegment { number, state, manifest, hash } = one;
            let time = |text: &str| {
                text.parse::<Timestamp>()
                    .map_or(0, |at| i64::try_from(at.as_nanosecond()).unwrap_or_default())
            };
            let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
            connection.execute(
                "INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    number,
                    manifest.name,
                    state.as_str(),
                    time(&manifest.first),
                    time(&manifest.last),
                    manifest.rows,
                    bytes.cast_signed(),
                    hash
                ],
            )?;
            for file in &manifest.files {
                close(connection, (&file.tracer, &file.collector_id), file.last_id + 1)?;
            }
            manifest.accounts.iter().try_for_each(|account| account.keep(connection, manifest, run_id))?;
        }
        self.report();
        Ok(())
    }

    fn report(&self) {
        if !self.segments.is_empty() {
            let segments = self.segments.len();
            tracing::warn!(segments, "the store's file is new, and there are segments: it goes on with them");
        }
        for (segment, cause) in &self.strange {
            tracing::warn!(
                segment,
                cause,
                "a segment in the folder is not part of the store, and is not read"
            );
        }
    }
}

impl FoundSegment {
    /// Returns the state of a segment that no other one replaces.
    fn state_in(&self, at: &Folder) -> State {
        let folder = at.segment(&self.manifest.name);
        let is_gone = |file: &str| folder.join(file).symlink_metadata().is_err();
        let files = &self.manifest.files;
        if !files.is_empty() && files.iter().all(|file| is_gone(&file.file)) {
            State::Pruned
        } else {
            State::Found
        }
    }

    /// Adds the numbers of its rows to `rows`; returns false, and adds none, if `rows` has one of them.
    fn take_numbers(&self, rows: &mut Rows) -> bool {
        let files = &self.manifest.files;
        let of = |file: &super::ManifestFile| (file.tracer.clone(), file.collector_id.clone());
        let is_there = |file: &super::ManifestFile| {
            let mut spans = rows.get(&of(file)).into_iter().flatten();
            spans.any(|(first, last)| file.first_id <= *last && *first <= file.last_id)
        };
        if files.iter().any(is_there) {
            return false;
        }
        for file in files {
            rows.entry(of(file)).or_default().push((file.first_id, file.last_id));
        }
        true
    }
}

/// Returns the number in a segment's name; none if so many segments can't be.
pub(super) fn number(name: &str) -> Option<i64> {
    name.rsplit_once('-')
        .and_then(|(_, number)| number.parse().ok())
        .filter(|number| (1..i64::MAX / 2).contains(number))
}

fn of_folder(at: &Folder, name: &str) -> Result<FoundSegment, String> {
    let (manifest, hash) = Manifest::read(&at.segment(name))
        .map_err(|error| format!("its segment.json can't be read: {error}"))?;
    if manifest.format > format::VERSION {
        return Err(format!("it has format {}, which a later version wrote", manifest.format));
    }
    if manifest.name != name {
        return Err(format!("its segment.json is that of segment {}", manifest.name));
    }
    let number = number(name).ok_or("its name has no number")?;
    Ok(FoundSegment { number, state: State::Found, manifest, hash })
}

/// Returns the names of the segments of the store `known`, and of those that they name. If no segment is of that store, it is the
/// store of the last segment instead.
fn belonging(read: &[FoundSegment], known: Option<&str>) -> BTreeSet<String> {
    let is_of = |store: &str| read.iter().any(|one| one.manifest.store == store);
    let known = known.filter(|known| is_of(known));
    let mut stores: BTreeSet<&str> =
        known.or_else(|| read.last().map(|last| last.manifest.store.as_str())).into_iter().collect();
    let mut names = BTreeSet::new();
    loop {
        let (before, known) = (names.len(), stores.len());
        for Manifest { name, store, previous, replaces, .. } in read.iter().map(|one| &one.manifest) {
            if stores.contains(store.as_str()) || names.contains(name) {
                stores.insert(store);
                names.insert(name.clone());
                names.extend(previous.iter().chain(replaces).map(|other| other.name.clone()));
            }
        }
        if (names.len(), stores.len()) == (before, known) {
            return names;
        }
    }
}

/// Makes the numbers of a stream's next rows begin at this one, or above it.
fn close(connection: &Connection, stream: (&str, &str), next: i64) -> rusqlite::Result<()> {
    let id = stream_id(connection, stream)?;
    connection.execute(
        "INSERT INTO sealing VALUES (?1, ?2, ?2) ON CONFLICT (stream) DO UPDATE
         SET closed = max(closed, ?2), sealed = max(sealed, ?2)",
        params![id, next],
    )?;
    Ok(())
}

/// Returns the id of a stream, which is made if it is not there.
pub(super) fn stream_id(
    connection: &Connection,
    (tracer, collector_id): (&str, &str),
) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT OR IGNORE INTO stream (tracer, collector_id) VALUES (?, ?)",
        [tracer, collector_id],
    )?;
    let sql = "SELECT id FROM stream WHERE tracer = ? AND collector_id = ?";
    connection.query_row(sql, [tracer, collector_id], |row| row.get(0))
}
