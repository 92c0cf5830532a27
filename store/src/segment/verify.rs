//! Checks that segments are as they were sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rusqlite::Connection;
use serde::Serialize;

use super::file::sha256_of;
use super::manifest::{Manifest, Reference, store_id};
use super::{Folder, State};
use crate::read::{Reader, Source, check_crc};
use crate::{Error, format};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The segment, or the batch.
    pub subject: String,
    /// The difference from what was written.
    pub what: String,
}

/// A segment as the store's file knows it.
struct Known {
    name: String,
    state: Option<State>,
    hash: Option<String>,
}

/// Checks everything: the manifests and their chain, the files, the batches, and that no number of a row is missing. What was
/// lawfully removed is not a finding. `progress` is called with the name of each segment before it is checked.
///
/// # Errors
/// SQLite can't read the file.
pub fn verify(connection: &Connection, mut progress: impl FnMut(&str)) -> Result<Vec<Finding>, Error> {
    let (mut findings, folder) = (Vec::new(), Folder::of(connection));
    let mut rows = BTreeMap::new();
    if format::version(connection)? >= 2 {
        let id = store_id(connection)?;
        let known = known(connection)?;
        let mut check = Check { folder: &folder, id, findings: &mut findings, rows: &mut rows };
        let mut hashes = BTreeMap::new();
        for segment in &known {
            progress(&segment.name);
            if let Some(reference) = check.segment(segment, &hashes) {
                hashes.insert(reference.name, reference.sha256);
            }
        }
        check.strangers(&known)?;
    }
    batches(connection, &mut findings, &mut rows)?;
    missing_rows(&mut findings, &rows);
    Ok(findings)
}

fn known(connection: &Connection) -> rusqlite::Result<Vec<Known>> {
    let mut known = connection.prepare("SELECT name, state, manifest FROM segment ORDER BY number")?;
    let known = known.query_map([], |row| {
        let state: String = row.get(1)?;
        Ok(Known { name: row.get(0)?, state: State::named(&state), hash: row.get(2)? })
    })?;
    known.collect()
}

/// Rows of a stream: the largest number, and how many there are or were.
type Rows = BTreeMap<(String, String), (i64, i64)>;

struct Check<'a> {
    folder: &'a Folder,
    /// Id of the store.
    id: String,
    findings: &'a mut Vec<Finding>,
    rows: &'a mut Rows,
}

impl Check<'_> {
    fn find(&mut self, subject: &str, what: impl Into<String>) {
        self.findings.push(Finding { subject: format!("segment {subject}"), what: what.into() });
    }

    /// Checks a segment. Returns its manifest's hash, which the next one must have.
    fn segment(&mut self, known: &Known, hashes: &BTreeMap<String, String>) -> Option<Reference> {
        let Known { name, state, hash } = known;
        if matches!(state, Some(State::Found | State::Sealing | State::Merging)) {
            return None;
        }
        let expected = hash.clone().unwrap_or_default();
        let reference = Reference { name: name.clone(), sha256: expected.clone() };
        let (manifest, found) = match Manifest::read(&self.folder.segment(name)) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.find(name, "its segment.json is missing");
                return Some(reference);
            }
            Err(error) => {
                self.find(name, format!("its segment.json can't be read: {error}"));
                return Some(reference);
            }
        };
        if manifest.format > format::VERSION {
            self.find(name, format!("it has format {}, which a later version wrote", manifest.format));
            return Some(reference);
        }
        // Segments of a file that was lost have another id: the store has gone on with them.
        if manifest.store != self.id && found != expected {
            self.find(name, format!("its segment.json is that of another store ({})", manifest.store));
            return Some(reference);
        }
        if manifest.name != *name {
            self.find(name, format!("its segment.json is that of segment {}", manifest.name));
            return Some(reference);
        }
        if found != expected {
            self.find(name, "its segment.json was altered: its hash is not the one that the store knows");
            return Some(reference);
        }
        if let Some(previous) = &manifest.previous
            && hashes.get(&previous.name) != Some(&previous.sha256)
        {
            self.find(name, format!("the segment before it, {}, is missing or was replaced", previous.name));
        }
        if *state != Some(State::Merged) {
            self.count(&manifest);
        }
        if *state == Some(State::Sealed) {
            manifest.files.iter().for_each(|file| self.file(name, &file.file, file.bytes, &file.sha256));
        }
        Some(reference)
    }

    /// Adds the rows of a segment to those that are known.
    fn count(&mut self, manifest: &Manifest) {
        for file in &manifest.files {
            let of = (file.tracer.clone(), file.collector_id.clone());
            let rows = self.rows.entry(of).or_default();
            *rows = (rows.0.max(file.last_id), rows.1 + file.rows);
        }
        for damaged in &manifest.damaged {
            let rows = self.rows.entry((damaged.tracer.clone(), damaged.collector_id.clone())).or_default();
            rows.1 += damaged.rows;
        }
    }

    fn file(&mut self, segment: &str, name: &str, bytes: u64, sha256: &str) {
        let found = self.folder.open(segment, name).and_then(|mut file| sha256_of(&mut file));
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.find(segment, format!("{name} is missing"));
            }
            Err(error) => self.find(segment, format!("{name} can't be read: {error}")),
            Ok((_, size)) if size != bytes => {
                self.find(segment, format!("{name} has {size} bytes and not {bytes}"));
            }
            Ok((found, _)) if found != sha256 => {
                self.find(segment, format!("{name} was altered: its hash is not the one in segment.json"));
            }
            Ok(_) => {}
        }
    }

    /// Finds folders of which the store's file knows nothing.
    fn strangers(&mut self, known: &[Known]) -> Result<(), Error> {
        let names: BTreeSet<&str> = known.iter().map(|known| known.name.as_str()).collect();
        for name in self.folder.segments()?.iter().filter(|name| !names.contains(name.as_str())) {
            let what = match Manifest::read(&self.folder.segment(name)) {
                Ok((manifest, _)) if manifest.store != self.id => {
                    format!("it is a segment of another store ({}), and is not read", manifest.store)
                }
                _ => "the store does not know it, and does not read it".to_owned(),
            };
            self.find(name, what);
        }
        Ok(())
    }
}

/// Checks all unsealed batches.
fn batches(connection: &Connection, findings: &mut Vec<Finding>, rows: &mut Rows) -> Result<(), Error> {
    let reader = Reader::default();
    let has_crc = format::version(connection)? >= 2;
    for stream in reader.streams(connection)? {
        let known = rows.entry((stream.tracer.clone(), stream.collector_id.clone())).or_default();
        for batch in reader.batches(connection, stream.id, i64::MIN, i64::MAX)? {
            let Source::Unsealed { number, .. } = &batch.source else { continue };
            *known = (known.0.max(batch.last_id), known.1 + batch.rows);
            let subject = || format!("{} of {}", batch.name(), stream.tracer);
            if has_crc {
                let (data, crc): (Vec<u8>, Option<u32>) = connection
                    .prepare_cached("SELECT data, crc FROM batch WHERE number = ?")?
                    .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
                if let Err(cause) = check_crc(&data, crc) {
                    findings.push(Finding { subject: subject(), what: cause.to_string() });
                    continue;
                }
            }
            if let Err(Error::Decode { source, .. }) = reader.rows(connection, &batch, |_| true) {
                findings.push(Finding { subject: subject(), what: source.to_string() });
            }
        }
    }
    Ok(())
}

/// Finds streams in which numbers of rows are missing.
fn missing_rows(findings: &mut Vec<Finding>, rows: &Rows) {
    for ((tracer, collector_id), (largest, count)) in rows {
        let subject = format!("rows of {tracer} from {collector_id}");
        let what = match largest - count {
            0 => continue,
            missing @ 1.. => format!(
                "{missing} rows are missing: {count} are known, and the last has the number {largest}"
            ),
            surplus => format!("{} rows are there twice", -surplus),
        };
        findings.push(Finding { subject, what });
    }
}
