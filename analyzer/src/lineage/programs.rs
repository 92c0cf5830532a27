//! Names of the programs that processes run.

use std::collections::HashMap;

use super::facts::Facts;
use super::graph::Node;
use super::nodes::{Nodes, Thing};

/// Longest line of ancestors of which none has executed a program.
const MOST: usize = 64;

/// Programs and parents of processes.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// Names of programs, by the process and the time at which it executed them.
    executed: HashMap<(u32, i64), u32>,
    /// For each process its parent, and when it was made.
    parents: HashMap<u32, (u32, i64)>,
}

impl Programs {
    pub(super) fn of(facts: &Facts) -> Self {
        Self {
            executed: facts.execs.iter().map(|exec| ((exec.process, exec.at), exec.name)).collect(),
            parents: facts.clones.iter().map(|clone| (clone.child, (clone.parent, clone.at))).collect(),
        }
    }

    /// Returns the name of the program that a process runs in an epoch: the one that it has executed, or that of its parent when it was
    /// made. Rows of a process name its command, but that can be of a later epoch.
    pub(super) fn name(&self, facts: &Facts, nodes: &Nodes, node: Node) -> Option<u32> {
        let mut node = node;
        for _ in 0..MOST {
            let Thing::Process { process, .. } = nodes.thing(node) else { return None };
            if let Some(at) = nodes.processes.begin(node) {
                return self.executed.get(&(process, at)).copied();
            }
            let has_executed = nodes.processes.nodes(process).len() > 1;
            let comm = facts.comms.get(&process).copied();
            match self.parents.get(&process).filter(|_| has_executed || comm.is_none()) {
                Some((parent, at)) => node = nodes.processes.node_at(*parent, *at),
                None => return comm,
            }
        }
        None
    }
}
