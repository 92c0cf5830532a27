//! Of which processes others descend, as far as filters ask: the agent says it of those the process table knows, the
//! kernel side of what these make from then on.
//!
//! Questions have a generation: what is known of a process says to questions of which it is the answer. So nothing has to
//! change at once: to all others it is no answer, and the collector judges.

use actors::clock;
use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use model::{ExecId, ProcessTable};

use super::{LoadError, map};
use crate::wire::{ProcessKey, Tree};

/// The maps, and what their bits mean.
pub(super) struct Trees {
    map: HashMap<MapData, ProcessKey, Tree>,
    roots: HashMap<MapData, u32, Tree>,
    /// Bit n: descends of this one.
    pids: Vec<u32>,
    generation: u64,
    /// News of the table that were told.
    known: u64,
}

impl Trees {
    /// Of an object that was just loaded.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        let (map, roots) = (map(ebpf, "trees")?, map(ebpf, "tree_roots")?);
        Ok(Self { map, roots, pids: Vec::new(), generation: 0, known: 0 })
    }

    /// What a predecessor said was about other questions.
    pub(super) fn clear(&mut self) {
        self.keep(|_| false);
        self.set_roots(&[]);
    }

    /// Questions of the rules that will hold, and the answers for the processes that are known; gives their generation, 0
    /// if nothing is asked.
    pub(super) fn put(&mut self, pids: &[u32], table: &ProcessTable) -> u64 {
        if pids.is_empty() && self.generation == 0 {
            return 0;
        }
        // Unlike any before, also of an agent before this one.
        self.generation = if pids.is_empty() { 0 } else { clock::boot_ns().0.max(1) };
        self.known = table.births();
        self.set_roots(pids);
        let lineages = if pids.is_empty() { Vec::new() } else { table.lineages() };
        let alive: std::collections::HashSet<ExecId> = lineages.iter().map(|(id, _)| *id).collect();
        self.keep(|key| alive.contains(&ExecId { pid: key.pid, start_ns: key.start_ns }));
        for (id, lineage) in lineages {
            self.tell(id, Some(&lineage));
        }
        self.generation
    }

    /// Tells what the table has learnt, if anything is asked.
    pub(super) fn learn_from(&mut self, table: &ProcessTable) {
        if self.generation == 0 || table.births() == self.known {
            return;
        }
        let (known, fresh) = table.lineages_since(self.known);
        self.known = known;
        for (id, lineage) in fresh {
            self.tell(id, lineage.as_deref());
        }
    }

    /// Of one that has ended, or of which nothing is known, nothing. Where there is no room nothing is known either.
    fn tell(&mut self, id: ExecId, lineage: Option<&[u32]>) {
        let key = ProcessKey { start_ns: id.start_ns, pid: id.pid, pad: 0 };
        let Some(lineage) = lineage else {
            // That the kernel side has done so already is as good.
            let _ = self.map.remove(&key);
            return;
        };
        let asked = self.pids.iter().enumerate().filter(|(_, pid)| lineage.contains(pid));
        let bits = asked.fold(0, |bits, (bit, _)| bits | 1 << bit);
        let tree = Tree { generation: self.generation, bits, depth: lineage.len() as u32, pad: 0 };
        if let Err(cause) = self.map.insert(key, tree, 0) {
            tracing::debug!(%cause, process = %id, "no room for what filters ask of a process");
        }
    }

    fn set_roots(&mut self, pids: &[u32]) {
        for pid in self.roots.keys().filter_map(Result::ok).collect::<Vec<_>>() {
            if let Err(cause) = self.roots.remove(&pid) {
                tracing::debug!(%cause, pid, "a process that filters asked for can't be forgotten");
            }
        }
        pids.clone_into(&mut self.pids);
        for (bit, pid) in pids.iter().enumerate() {
            let tree = Tree { generation: self.generation, bits: 1 << bit, depth: 0, pad: 0 };
            if let Err(cause) = self.roots.insert(pid, tree, 0) {
                tracing::warn!(%cause, pid, "filters can't ask for a process in the kernel");
            }
        }
    }

    fn keep(&mut self, wanted: impl Fn(&ProcessKey) -> bool) {
        let keys = self.map.keys().filter_map(Result::ok).filter(|key| !wanted(key));
        for key in keys.collect::<Vec<_>>() {
            // One that ended meanwhile is gone already.
            let _ = self.map.remove(&key);
        }
    }
}
