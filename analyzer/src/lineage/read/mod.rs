//! Reads rows of a store into facts: only the columns that lineage needs, batch by batch.

mod boots;
mod columns;
mod files;
mod ipc;
mod life;
mod sockets;
mod usage;

use std::collections::{HashMap, HashSet};

use store::BatchRows;

use self::boots::Boots;
use self::columns::Column;
use super::edge_file;
use super::facts::{Facts, Process};
use crate::store::Piece;
use crate::{Error, Store};

/// A tracer whose rows are read.
struct Tracer {
    name: &'static str,
    columns: &'static [&'static [&'static str]],
    read: fn(&mut Reading, &BatchRows),
}

/// Facts while rows are read.
struct Reading {
    facts: Facts,
    boots: Boots,
    /// Index of the sighting of a file with a name.
    sighted: HashMap<(u32, u32), u32>,
    last_sighting: Option<u32>,
    last_name: Box<str>,
    /// The process of the row before, which most rows have, too.
    last_process: (Box<str>, u32),
    /// Pairs of sockets that are noted.
    paired: HashSet<(u32, Option<u32>)>,
    /// Texts of the calls of a row.
    joined: String,
}

/// Names of the tracers whose rows lineage reads.
pub(super) fn tracers() -> impl Iterator<Item = &'static str> {
    all().map(|tracer| tracer.name)
}

/// Returns the tracers in the order in which they are read: those with names of files come last, because a row of `usage` has the
/// exact time of the first use.
fn all() -> impl Iterator<Item = &'static Tracer> {
    let usage = std::iter::once(&usage::USAGE);
    let ipc = std::iter::once(&ipc::IPC);
    let files = files::THROWING.iter().chain(&files::NAMING);
    life::LIFE.iter().chain(usage).chain(files).chain(&sockets::SOCKETS).chain(ipc)
}

/// Reads all rows. Also those before a time that is asked about number the contents of files, and have the ends of sockets.
/// Of a sealed segment, the facts are in a file beside it, which is made when it is missing.
pub(super) fn facts(store: &Store) -> Result<Facts, Error> {
    let boots = Boots::of(store)?;
    let mut whole = Facts { boots: boots.starts().to_vec(), ..Facts::default() };
    let tracers: Vec<&Tracer> = all().collect();
    let names: Vec<&str> = tracers.iter().map(|tracer| tracer.name).collect();
    for piece in store.pieces(&names)? {
        let known = piece.segment.as_ref().and_then(|(segment, hash)| edge_file::load(store, segment, hash));
        let of_piece = match known {
            Some(known) => known,
            None => {
                let read = read_piece(store, &piece, &tracers, &boots)?;
                // Those of a damaged segment would lack rows for ever.
                if let Some((segment, hash)) = piece.segment.as_ref().filter(|_| store.damaged().is_empty()) {
                    edge_file::save(store, segment, hash, &read);
                }
                read
            }
        };
        whole.add(of_piece, |start| boots.of_row(start, 0));
    }
    whole.finish();
    Ok(whole)
}

fn read_piece(store: &Store, piece: &Piece, tracers: &[&Tracer], boots: &Boots) -> Result<Facts, Error> {
    let mut reading = Reading {
        facts: Facts { boots: boots.starts().to_vec(), ..Facts::default() },
        boots: boots.clone(),
        sighted: HashMap::new(),
        last_sighting: None,
        last_name: Box::default(),
        last_process: (Box::default(), 0),
        paired: HashSet::new(),
        joined: String::new(),
    };
    let reader = store.reader();
    for (number, batch) in &piece.batches {
        let tracer = tracers[*number];
        let wants = |name: &str| tracer.columns.iter().any(|columns| columns.contains(&name));
        if let Some(rows) = store.read_batch(&reader, batch, &wants)? {
            // The text before is not that of this batch.
            reading.last_process.0 = Box::default();
            (tracer.read)(&mut reading, &rows);
        }
    }
    Ok(reading.facts)
}

impl Reading {
    fn boot(&self, time: i64, boot_ns: Option<i64>) -> u16 {
        boot_ns.map_or(0, |boot_ns| self.boots.of_row(time, boot_ns))
    }

    /// Returns the number of a row's process; `None` if the row has none.
    fn process(&mut self, exec_id: &Column, row: usize) -> Option<u32> {
        let text = exec_id.text(row)?;
        if &*self.last_process.0 != text {
            let process = self.facts.processes.number(Process::parse(text)?);
            self.last_process = (text.into(), process);
        }
        Some(self.last_process.1)
    }

    /// Notes the command of a process, the first time that a row has it.
    fn comm(&mut self, process: u32, comm: &Column, row: usize) {
        if !self.facts.comms.contains_key(&process)
            && let Some(comm) = comm.text(row)
        {
            let name = self.facts.names.text(comm);
            self.facts.comms.insert(process, name);
        }
    }

    /// Returns the number of the calls that a row names.
    fn ways(&mut self, via: &Column, row: usize) -> u16 {
        self.joined.clear();
        let joined = &mut self.joined;
        via.texts(row, &mut |way| {
            if !joined.is_empty() {
                joined.push('+');
            }
            joined.push_str(way);
        });
        u16::try_from(self.facts.ways.text(&self.joined)).unwrap_or(u16::MAX)
    }
}
