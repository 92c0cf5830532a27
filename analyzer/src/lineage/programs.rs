//! Names of the programs that processes run.

use super::facts::Facts;
use super::graph::Node;
use super::nodes::{Nodes, Thing};

/// Longest line of ancestors of which none has executed a program.
const MOST: usize = 64;

/// Returns the name of the program that a process runs in an epoch: the one that it has executed, or that of its parent when it was
/// made. Rows of a process name its command, but that can be of a later epoch.
pub(super) fn program(facts: &Facts, nodes: &Nodes, node: Node) -> Option<u32> {
    let mut node = node;
    for _ in 0..MOST {
        let Thing::Process { process, .. } = nodes.thing(node) else { return None };
        if let Some(at) = nodes.processes.begin(node) {
            return executed(facts, process, at);
        }
        let has_executed = nodes.processes.nodes(process).len() > 1;
        let comm = facts.comms.get(&process).copied();
        match parent(facts, process).filter(|_| has_executed || comm.is_none()) {
            Some((parent, at)) => node = nodes.processes.node_at(parent, at),
            None => return comm,
        }
    }
    None
}
fn executed(facts: &Facts, process: u32, at: i64) -> Option<u32> {
    let index = facts.execs.binary_search_by_key(&(process, at), |exec| (exec.process, exec.at)).ok()?;
    Some(facts.execs[index].name)
}

/// Returns the parent of a process, and when the process was made.
fn parent(facts: &Facts, process: u32) -> Option<(u32, i64)> {
    let index = facts.clones.binary_search_by_key(&process, |clone| clone.child).ok()?;
    let clone = facts.clones[index];
    Some((clone.parent, clone.at))
}
