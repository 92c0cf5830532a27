//! Memory that processes have of files: until when, and what a child gets of its parent's.

use std::collections::HashMap;

use super::facts::{Facts, Mapping};
use super::nodes::Nodes;

/// Returns the time at which what a process is at some time ends: it executes a program, or exits.
pub(super) fn end_of_process(facts: &Facts, nodes: &Nodes, process: u32, at: i64) -> i64 {
    let exec = nodes.processes.end_of(process, at).unwrap_or(i64::MAX);
    exec.min(facts.ends_of.get(process as usize).copied().unwrap_or(i64::MAX))
}

/// Returns all mappings, with those that children got from their parents: shared ones, as long as they execute no program.
pub(super) fn with_inherited(facts: &Facts, nodes: &Nodes) -> Vec<Mapping> {
    let mut all = facts.mappings.clone();
    let mut of: HashMap<u32, Vec<Mapping>> = HashMap::new();
    for mapping in all.iter().filter(|mapping| mapping.is_shared) {
        of.entry(mapping.process).or_default().push(*mapping);
    }
    if of.is_empty() {
        return all;
    }
    let mut clones: Vec<_> = facts.clones.iter().collect();
    clones.sort_by_key(|clone| clone.at);
    for clone in clones {
        let is_there = |mapping: &&Mapping| {
            let end = mapping.last.min(end_of_process(facts, nodes, mapping.process, mapping.first));
            mapping.first <= clone.at && clone.at <= end
        };
        let Some(parents) = of.get(&clone.parent) else { continue };
        let inherited = parents.iter().filter(is_there);
        let inherited: Vec<Mapping> = inherited
            .map(|mapping| Mapping { process: clone.child, first: clone.at, last: i64::MAX, ..*mapping })
            .collect();
        all.extend(&inherited);
        of.entry(clone.child).or_default().extend(inherited);
    }
    all
}
