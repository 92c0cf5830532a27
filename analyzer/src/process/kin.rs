//! Ancestors and descendants of a process, from rows of `clone`.

use std::collections::BTreeMap;

use store::Selection;

use super::info::{Process, Processes, of};
use crate::Error;
use crate::span::Span;
use crate::store::{Walk, Walker};

/// Number of descendants that are listed.
const DESCENDANTS: usize = 2_000;
/// Number of ancestors that are looked for: a chain of so many is made to be one.
const ANCESTORS: usize = 256;

const COLUMNS: [&str; 6] = ["exec_id", "child_exec_id", "child_pid", "thread", "ret", "pid"];

/// The parents and children of a process.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// The nearest first.
    pub(super) ancestors: Vec<Process>,
    /// Each comes after its parent.
    pub(super) descendants: Vec<Process>,
    /// Number of descendants that are not listed, at least.
    pub(super) left_out: u64,
}

/// A process that another one made.
struct Made {
    parent: String,
    parent_pid: Option<i64>,
    child: String,
    child_pid: Option<i64>,
}

impl Kin {
    pub(super) fn of(walker: &Walker<'_>, exec_id: &str) -> Result<Self, Error> {
        let mut kin = Self::default();
        let mut ids = kin.find_ancestors(walker, exec_id)?;
        ids.extend(kin.find_descendants(walker, exec_id)?);
        let mut known = Processes::default();
        known.learn(walker, &ids)?;
        for process in kin.ancestors.iter_mut().chain(&mut kin.descendants) {
            let found = process.exec_id.as_ref().and_then(|id| known.0.get(id));
            if let Some(found) = found {
                let (parent, pid, ppid) = (process.parent_exec_id.take(), process.pid, process.ppid);
                *process = found.process.clone();
                (process.parent_exec_id, process.pid) = (parent, process.pid.or(pid));
                process.ppid = process.ppid.or(ppid);
            }
        }
        kin.add_first(exec_id);
        Ok(kin)
    }

    fn find_ancestors(&mut self, walker: &Walker<'_>, exec_id: &str) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        let mut last = exec_id.to_owned();
        while self.ancestors.len() < ANCESTORS {
            let made =
                made(walker, &Span::ALL.select(vec![of("child_exec_id", std::slice::from_ref(&last))]))?;
            let Some(found) = made.into_iter().find(|one| one.child == last) else { break };
            if let Some(nearer) = self.ancestors.last_mut() {
                nearer.parent_exec_id = Some(found.parent.clone());
            }
            last.clone_from(&found.parent);
            ids.push(found.parent.clone());
            let process =
                Process { exec_id: Some(found.parent), pid: found.parent_pid, ..Process::default() };
            self.ancestors.push(process);
        }
        Ok(ids)
    }

    /// Adds the parent of the farthest ancestor, of which only the pid is known.
    fn add_first(&mut self, exec_id: &str) {
        let ppid = self.ancestors.last().and_then(|last| last.ppid).filter(|ppid| *ppid > 0);
        let _ = exec_id;
        if let Some(ppid) = ppid {
            self.ancestors.push(Process { pid: Some(ppid), ..Process::default() });
        }
    }

    fn find_descendants(&mut self, walker: &Walker<'_>, exec_id: &str) -> Result<Vec<String>, Error> {
        let mut level = vec![exec_id.to_owned()];
        let mut children: BTreeMap<String, Vec<Made>> = BTreeMap::new();
        let mut count = 0;
        while !level.is_empty() && count < DESCENDANTS {
            let mut next = Vec::new();
            for one in made(walker, &Span::ALL.select(vec![of("exec_id", &level)]))? {
                if count == DESCENDANTS {
                    self.left_out += 1;
                    continue;
                }
                count += 1;
                next.push(one.child.clone());
                children.entry(one.parent.clone()).or_default().push(one);
            }
            level = next;
        }
        let (mut ids, mut waiting) = (Vec::new(), vec![exec_id.to_owned()]);
        while let Some(parent) = waiting.pop() {
            if parent != exec_id {
                ids.push(parent.clone());
            }
            let made = children.remove(&parent).unwrap_or_default();
            waiting.extend(made.iter().rev().map(|one| one.child.clone()));
            self.descendants.extend(made.into_iter().map(|one| Process {
                exec_id: Some(one.child),
                parent_exec_id: Some(one.parent),
                pid: one.child_pid,
                ppid: one.parent_pid,
                ..Process::default()
            }));
        }
        Ok(ids)
    }
}

/// Returns the processes that the selected rows of `clone` say were made; threads are none.
fn made(walker: &Walker<'_>, selection: &Selection) -> Result<Vec<Made>, Error> {
    let wanted = |chunk: &crate::store::Chunk<'_>, row: usize| {
        selection.conditions.iter().all(|condition| {
            let column = COLUMNS.iter().position(|name| *name == condition.column).unwrap_or_default();
            let text = chunk.text(row, column).map(|text| store::Sought::Text(text.to_owned()));
            text.is_some_and(|text| condition.values.contains(&text))
        })
    };
    let mut found = Vec::new();
    walker.walk(Walk { tracer: "clone", columns: &COLUMNS, selection }, &mut |chunk| {
        for row in 0..chunk.len() {
            let is_process = chunk.int(row, 3) != Some(1) && chunk.int(row, 4).is_none_or(|ret| ret >= 0);
            let ids = (chunk.text(row, 0), chunk.text(row, 1));
            if let (true, (Some(parent), Some(child))) = (is_process && wanted(chunk, row), ids) {
                found.push(Made {
                    parent: parent.to_owned(),
                    parent_pid: chunk.int(row, 5),
                    child: child.to_owned(),
                    child_pid: chunk.int(row, 2),
                });
            }
        }
    })?;
    Ok(found)
}
