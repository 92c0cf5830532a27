//! Files in rows: their identities and names, and rows that throw contents away or change names.

use store::BatchRows;

use super::columns::{Column, columns};
use super::reading::{Reading, Tracer};
use crate::lineage::facts::{Alias, FileKind, FileOfBoot, Renaming, Sighting};

columns!(Identity { dev, ino, generation, file_type, fname, real_dev, real_ino, real_generation, layer });

/// The columns of a row that identify its file.
pub(super) struct FileColumns(Identity);

impl FileColumns {
    pub(super) const NAMES: &'static [&'static str] = Identity::NAMES;

    pub(super) fn of(rows: &BatchRows) -> Self {
        Self(Identity::of(rows))
    }

    pub(super) fn is_socket(&self, row: usize) -> bool {
        self.0.file_type.text(row) == Some("socket")
    }

    /// Returns the number of the row's file, whose name is noted with the time of the use; `None` if it has no identity.
    pub(super) fn file(&self, reading: &mut Reading, row: usize, at: i64, boot: u16) -> Option<u32> {
        let columns = &self.0;
        let name = columns.fname.text(row);
        let is_pipe = columns.file_type.text(row) == Some("fifo");
        let kind = match (is_pipe, name.is_some_and(|name| name.starts_with("pipe:"))) {
            (true, true) => FileKind::Pipe,
            (true, false) => FileKind::Fifo,
            (false, _) => FileKind::Plain,
        };
        let id = FileOfBoot {
            dev: columns.dev.number(row)?,
            ino: columns.ino.number(row)?,
            generation: number(&columns.generation, row),
            boot: if kind == FileKind::Pipe { boot } else { 0 },
            kind,
        };
        let file = reading.facts.files.number(id);
        if let Some(name) = name.filter(|_| kind != FileKind::Pipe) {
            reading.sight(file, name, at);
        }
        self.note_layer(reading, row, (file, id), at);
        Some(file)
    }

    fn note_layer(&self, reading: &mut Reading, row: usize, (file, id): (u32, FileOfBoot), at: i64) {
        let columns = &self.0;
        let Some(ino) = columns.real_ino.number(row) else { return };
        let dev = columns.real_dev.number(row).unwrap_or(id.dev);
        let generation = number(&columns.real_generation, row);
        let real = reading.facts.files.number(FileOfBoot { dev, ino, generation, ..id });
        if real == file {
            return;
        }
        let is_upper = columns.layer.text(row) == Some("upper");
        let seen = reading.facts.aliases.entry(Alias { file, real, is_upper }).or_insert((at, at));
        *seen = (seen.0.min(at), seen.1.max(at));
    }
}

fn number(column: &Column, row: usize) -> u32 {
    column.number(row).and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

impl Reading {
    /// Notes that a file had a name, once for each name of a file.
    fn sight(&mut self, file: u32, name: &str, at: i64) {
        if self.last_sighting == Some(file) && &*self.last_name == name {
            return;
        }
        let number = self.facts.names.number(name);
        (self.last_sighting, self.last_name) = (Some(file), name.into());
        match self.sighted.entry((file, number)) {
            std::collections::hash_map::Entry::Occupied(known) => {
                let sighting = &mut self.facts.sightings[*known.get() as usize];
                sighting.at = sighting.at.min(at);
            }
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(self.facts.sightings.len() as u32);
                self.facts.sightings.push(Sighting { file, name: number, at });
            }
        }
    }
}

columns!(Throwing { ret, flags, length, time, boot_ns });

/// Rows of opens and truncations: those that throw contents away.
pub(super) const THROWING: [Tracer; 2] = [
    Tracer {
        name: "open",
        columns: &[Throwing::NAMES, FileColumns::NAMES],
        read: |reading, rows| throwing(reading, rows, true),
    },
    Tracer {
        name: "truncate",
        columns: &[Throwing::NAMES, FileColumns::NAMES],
        read: |reading, rows| throwing(reading, rows, false),
    },
];

fn throwing(reading: &mut Reading, rows: &BatchRows, is_open: bool) {
    let (columns, files) = (Throwing::of(rows), FileColumns::of(rows));
    for row in 0..rows.len() {
        let Some(at) = columns.time.signed(row) else { continue };
        if columns.ret.signed(row).is_none_or(|ret| ret < 0) {
            continue;
        }
        let boot = reading.boot(at, columns.boot_ns.signed(row));
        let Some(file) = files.file(reading, row, at, boot) else { continue };
        let throws =
            if is_open { columns.flags.has(row, "O_TRUNC") } else { columns.length.signed(row) == Some(0) };
        if throws {
            reading.facts.truncations.push((file, at));
        }
    }
}

columns!(Names { ret, fname, new_path, time, boot_ns });

/// Rows that give a file another name, or a second one.
pub(super) const NAMING: [Tracer; 2] = [
    Tracer { name: "rename", columns: &[Names::NAMES, FileColumns::NAMES], read: naming },
    Tracer { name: "link", columns: &[Names::NAMES, FileColumns::NAMES], read: naming },
];

fn naming(reading: &mut Reading, rows: &BatchRows) {
    let (columns, files) = (Names::of(rows), FileColumns::of(rows));
    for row in 0..rows.len() {
        let Some(at) = columns.time.signed(row) else { continue };
        let Some((old, new)) = columns.fname.text(row).zip(columns.new_path.text(row)) else { continue };
        if columns.ret.signed(row) != Some(0) {
            continue;
        }
        let boot = reading.boot(at, columns.boot_ns.signed(row));
        let file = files.file(reading, row, at, boot);
        let (old, new) = (reading.facts.names.number(old), reading.facts.names.number(new));
        reading.facts.renamings.push(Renaming { at, old, new, file });
    }
}
