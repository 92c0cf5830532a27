//! Filters on ancestors, in the kernel: map `trees` says for each process which of the processes named in filters it
//! descends from. The agent writes the entries of processes it knows; for their children the programs copy them on fork.
//!
//! A set of named processes has a generation, and each entry carries the generation it was computed for. An entry of
//! another generation counts as unknown, and the collector applies the filter; so the entries need not change all at once.

use actors::clock;
use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use model::{ExecId, ProcessTable};

use super::maps::map;
use crate::errors::LoadError;
use crate::wire::{ProcessKey, Tree};

/// Maps `trees` and `tree_roots`, and the processes that their bits stand for.
pub(super) struct Trees {
    map: HashMap<MapData, ProcessKey, Tree>,
    roots: HashMap<MapData, u32, Tree>,
    /// Bit n of an entry: the process descends from the nth of these.
    pids: Vec<u32>,
    generation: u64,
    /// Number of the process table's changes of descent that have been written so far.
    known: u64,
}

impl Trees {
    /// Takes the maps of an object that was just loaded.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        let (map, roots) = (map(ebpf, "trees")?, map(ebpf, "tree_roots")?);
        Ok(Self { map, roots, pids: Vec::new(), generation: 0, known: 0 })
    }

    /// Empties the maps: an earlier agent's entries are about other processes.
    pub(super) fn clear(&mut self) {
        self.keep(|_| false);
        self.set_roots(&[]);
    }

    /// Sets the processes that the next rules name, and writes the entries of all known processes. Returns the generation,
    /// 0 if no rule names one.
    pub(super) fn put(&mut self, pids: &[u32], table: &ProcessTable) -> u64 {
        if pids.is_empty() && self.generation == 0 {
            return 0;
        }
        // Different from every generation before, also those of an earlier agent.
        self.generation = if pids.is_empty() { 0 } else { clock::boot_ns().0.max(1) };
        self.known = table.births();
        self.set_roots(pids);
        let lineages = if pids.is_empty() { Vec::new() } else { table.lineages() };
        let alive: std::collections::HashSet<ExecId> = lineages.iter().map(|(id, _)| *id).collect();
        self.keep(|key| alive.contains(&ExecId { pid: key.pid, start_ns: key.start_ns }));
        for (id, lineage) in lineages {
            self.put_process(id, Some(&lineage));
        }
        self.generation
    }

    /// Writes the entries of processes the table has learnt of since the last call, if any rule names a process.
    pub(super) fn learn_from(&mut self, table: &ProcessTable) {
        if self.generation == 0 || table.births() == self.known {
            return;
        }
        let (known, fresh) = table.lineages_since(self.known);
        self.known = known;
        for (id, lineage) in fresh {
            self.put_process(id, lineage.as_deref());
        }
    }

    /// Writes a process's entry, or removes it if the process has ended or its ancestors are unknown. If the map is full
    /// the process stays unknown.
    fn put_process(&mut self, id: ExecId, lineage: Option<&[u32]>) {
        let key = ProcessKey { start_ns: id.start_ns, pid: id.pid, pad: 0 };
        let Some(lineage) = lineage else {
            // The kernel side may have removed it already.
            let _ = self.map.remove(&key);
            return;
        };
        let asked = self.pids.iter().enumerate().filter(|(_, pid)| lineage.contains(pid));
        let bits = asked.fold(0, |bits, (bit, _)| bits | 1 << bit);
        let tree = Tree { generation: self.generation, bits, depth: lineage.len() as u32, pad: 0 };
        if let Err(cause) = self.map.insert(key, tree, 0) {
            tracing::debug!(%cause, process = %id, "no room for a process in map trees");
        }
    }

    fn set_roots(&mut self, pids: &[u32]) {
        for pid in self.roots.keys().filter_map(Result::ok).collect::<Vec<_>>() {
            if let Err(cause) = self.roots.remove(&pid) {
                tracing::debug!(%cause, pid, "removing an entry of map tree_roots failed");
            }
        }
        pids.clone_into(&mut self.pids);
        for (bit, pid) in pids.iter().enumerate() {
            let tree = Tree { generation: self.generation, bits: 1 << bit, depth: 0, pad: 0 };
            if let Err(cause) = self.roots.insert(pid, tree, 0) {
                tracing::warn!(%cause, pid, "adding an entry to map tree_roots failed: the collector applies the filter");
            }
        }
    }

    fn keep(&mut self, wanted: impl Fn(&ProcessKey) -> bool) {
        let keys = self.map.keys().filter_map(Result::ok).filter(|key| !wanted(key));
        for key in keys.collect::<Vec<_>>() {
            // The entry of a process that ended meanwhile is gone already.
            let _ = self.map.remove(&key);
        }
    }
}
