//! The description of a segment, `segment.json`: what is in its files, how they can be checked, and which segment came before.

use std::io::{Read as _, Write as _};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::file::sha256;
use super::{Damage, MANIFEST, folder};
use crate::{Error, format};

/// The description of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format of the segment, which is that of the store.
    pub format: i64,
    /// Version of duetector-actors that wrote it.
    pub made_by: String,
    /// Id of the store that the segment is part of.
    pub store: String,
    /// Name of the segment, which is that of its folder.
    pub name: String,
    /// Earliest time of a row, UTC.
    pub first: String,
    /// Latest time of a row, UTC.
    pub last: String,
    /// Number of rows.
    pub rows: i64,
    /// The files, one a tracer and collector; more if a column changed its type.
    pub files: Vec<ManifestFile>,
    /// The accounts of the latest run of each collector, as they were when the rows were sealed.
    pub accounts: Vec<ManifestAccount>,
    /// Records that were lost, as the `loss` rows of the segment say.
    pub losses: Vec<ManifestLoss>,
    /// Batches that could not be read when they were to be sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<ManifestDamage>,
    /// The segment before this one; none for the first.
    pub previous: Option<Reference>,
    /// The segments whose rows this one took over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<Reference>,
}

/// A file of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Name in the segment's folder.
    pub file: String,
    /// Tracer of the rows.
    pub tracer: String,
    /// Collector that wrote them.
    pub collector_id: String,
    /// Number of rows.
    pub rows: i64,
    /// Smallest number of a row in its stream.
    pub first_id: i64,
    /// Largest number of a row in its stream.
    pub last_id: i64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}

/// The account of a tracer in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestAccount {
    /// Id of the run.
    pub run: String,
    /// Name of the tracer.
    pub tracer: String,
    /// Records that it made.
    pub seen: i64,
    /// Records that were stored.
    pub stored: i64,
    /// Records that filters dropped.
    pub filtered: i64,
    /// Records that were lost.
    pub lost: i64,
    /// Records that were lost in the ring, in decoding, in a queue, and at the sink.
    #[serde(default)]
    pub lost_at: [i64; 4],
    /// The collector whose run it was.
    #[serde(default)]
    pub collector_id: String,
}

/// Records that were lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLoss {
    /// The tracer of the records.
    pub tracer: String,
    /// Number of records; of those that could be counted.
    pub count: i64,
}

/// A batch that could not be read when it was to be sealed. Its file has the Arrow stream as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestDamage {
    /// Name in the segment's folder.
    pub file: String,
    /// Tracer of the rows.
    pub tracer: String,
    /// Collector that wrote them.
    pub collector_id: String,
    /// Number of rows.
    pub rows: i64,
    /// The reason why it can't be read.
    pub cause: String,
}

impl ManifestAccount {
    /// Writes the account of an earlier run into a new file.
    pub(super) fn keep(&self, connection: &Connection, of: &Manifest, present: &str) -> rusqlite::Result<()> {
        // Earlier manifests have no collector, and only the sum of the losses.
        let only = of.files.first().map(|file| file.collector_id.as_str()).unwrap_or_default();
        let collector_id = if self.collector_id.is_empty() { only } else { &self.collector_id };
        if self.run == present {
            return Ok(());
        }
        connection.execute(
            "INSERT OR IGNORE INTO duetector_actors_run (run_id, collector_id, started, version) VALUES (?, ?, '', ?)",
            params![self.run, collector_id, of.made_by],
        )?;
        let [ring, decode, queue, _] = self.lost_at;
        let sink = self.lost - ring - decode - queue;
        // Segments are listed in order, so the account of a later one replaces that of an earlier one.
        connection.execute(
            "INSERT OR REPLACE INTO duetector_actors_account VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![self.run, self.tracer, self.seen, self.stored, self.filtered, ring, decode, queue, sink],
        )?;
        Ok(())
    }
}

impl ManifestDamage {
    pub(super) fn of(damage: &Damage) -> Self {
        let Damage { file, tracer, collector_id, rows, cause, .. } = damage.clone();
        Self { file, tracer, collector_id, rows, cause }
    }
}

/// A segment that another one names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Name of the segment.
    pub name: String,
    /// SHA-256 of its manifest, in hex.
    pub sha256: String,
}

impl Manifest {
    /// Begins the description of a segment of the store.
    pub(crate) fn begin(connection: &Connection, name: &str) -> rusqlite::Result<Self> {
        Ok(Self {
            format: format::VERSION,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            store: store_id(connection)?,
            name: name.to_owned(),
            accounts: accounts(connection)?,
            previous: previous(connection, name)?,
            ..Self::default()
        })
    }

    /// Writes it into the segment's folder; returns its SHA-256.
    pub(crate) fn write(&self, into: &Path) -> Result<String, Error> {
        let path = into.join(MANIFEST);
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|cause| Error::io("write", &path)(cause.into()))?;
        text.push(b'\n');
        let mut file = folder::create(&path)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(Error::io("write", &path))?;
        Ok(sha256(&text))
    }

    /// Reads it from a segment's folder. Also returns its SHA-256.
    ///
    /// # Errors
    /// There is no such file, it can't be read, or it is no description of a segment.
    pub fn read(from: &Path) -> std::io::Result<(Self, String)> {
        let mut text = Vec::new();
        folder::open_file(&from.join(MANIFEST))?.read_to_end(&mut text)?;
        Ok((serde_json::from_slice(&text)?, sha256(&text)))
    }
}

/// Returns the store's id; empty if only imports have written to it, and no run.
pub(super) fn store_id(connection: &Connection) -> rusqlite::Result<String> {
    let id = connection.query_row("SELECT id FROM duetector_actors_store", [], |row| row.get(0));
    Ok(id.optional()?.unwrap_or_default())
}

/// Returns the accounts of the latest run of each collector.
fn accounts(connection: &Connection) -> rusqlite::Result<Vec<ManifestAccount>> {
    let mut accounts = connection.prepare(
        "SELECT run_id, tracer, seen, stored, filtered, lost_ring, lost_decode, lost_queue, lost_sink, collector_id
         FROM duetector_actors_account JOIN duetector_actors_run AS run USING (run_id)
         WHERE run.rowid IN (SELECT max(rowid) FROM duetector_actors_run GROUP BY collector_id) ORDER BY 1, 2",
    )?;
    let accounts = accounts.query_map([], |row| {
        let lost_at = [row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?];
        Ok(ManifestAccount {
            run: row.get(0)?,
            tracer: row.get(1)?,
            seen: row.get(2)?,
            stored: row.get(3)?,
            filtered: row.get(4)?,
            lost: lost_at.iter().sum(),
            lost_at,
            collector_id: row.get(9)?,
        })
    })?;
    accounts.collect()
}

/// Returns the segment that was sealed last.
fn previous(connection: &Connection, name: &str) -> rusqlite::Result<Option<Reference>> {
    let sql = "SELECT name, manifest FROM segment WHERE manifest IS NOT NULL AND name <> ?
               ORDER BY number DESC LIMIT 1";
    let mut previous = connection.prepare(sql)?;
    let mut previous =
        previous.query_map([name], |row| Ok(Reference { name: row.get(0)?, sha256: row.get(1)? }))?;
    previous.next().transpose()
}

/// Returns a time as RFC 3339, UTC.
pub(crate) fn rfc3339(utc_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(utc_ns))
        .map_or_else(|_| utc_ns.to_string(), |at| at.to_string())
}
