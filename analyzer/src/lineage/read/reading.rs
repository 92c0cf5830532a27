//! Facts while rows are read, and what all tracers' rows have.

use std::collections::{HashMap, HashSet};

use store::BatchRows;

use super::boots::Boots;
use super::columns::Column;
use crate::lineage::facts::{Facts, Process};

/// A tracer whose rows are read.
pub(super) struct Tracer {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static [&'static str]],
    pub(super) read: fn(&mut Reading, &BatchRows),
}

/// Facts while rows are read.
pub(super) struct Reading {
    pub(super) facts: Facts,
    boots: Boots,
    /// Index of the sighting of a file with a name.
    pub(super) sighted: HashMap<(u32, u32), u32>,
    pub(super) last_sighting: Option<u32>,
    pub(super) last_name: Box<str>,
    /// The process of the row before, which most rows have, too.
    last_process: (Box<str>, u32),
    /// Pairs of sockets that are noted.
    pub(super) paired: HashSet<(u32, Option<u32>)>,
    /// Texts of the calls of a row.
    joined: String,
}

impl Reading {
    pub(super) fn new(boots: &Boots) -> Self {
        Self {
            facts: Facts { boots: boots.starts().to_vec(), ..Facts::default() },
            boots: boots.clone(),
            sighted: HashMap::new(),
            last_sighting: None,
            last_name: Box::default(),
            last_process: (Box::default(), 0),
            paired: HashSet::new(),
            joined: String::new(),
        }
    }

    pub(super) fn boot(&self, time: i64, boot_ns: Option<i64>) -> u16 {
        boot_ns.map_or(0, |boot_ns| self.boots.of_row(time, boot_ns))
    }

    /// Returns the number of a row's process; `None` if the row has none.
    pub(super) fn process(&mut self, exec_id: &Column, row: usize) -> Option<u32> {
        let text = exec_id.text(row)?;
        if &*self.last_process.0 != text {
            let process = self.facts.processes.number(Process::parse(text)?);
            self.last_process = (text.into(), process);
        }
        Some(self.last_process.1)
    }

    /// Notes the command of a process, the first time that a row has it.
    pub(super) fn comm(&mut self, process: u32, comm: &Column, row: usize) {
        if !self.facts.comms.contains_key(&process)
            && let Some(comm) = comm.text(row)
        {
            let name = self.facts.names.number(comm);
            self.facts.comms.insert(process, name);
        }
    }

    /// Returns the number of the calls that a row names.
    pub(super) fn ways(&mut self, via: &Column, row: usize) -> u16 {
        self.joined.clear();
        let joined = &mut self.joined;
        via.texts(row, &mut |way| {
            if !joined.is_empty() {
                joined.push('+');
            }
            joined.push_str(way);
        });
        u16::try_from(self.facts.ways.number(&self.joined)).unwrap_or(u16::MAX)
    }
}
