//! Finds the process that a question is about.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use store::{Condition, Sought};

use super::info::{
    BOOT_NS, COLUMNS, COMM, CONTAINER, CONTAINER_NAME, EXE, EXEC_ID, PID, Process, Processes, TIME, start,
};
use crate::span::Span;
use crate::store::{Chunk, Walk, Walker};
use crate::{Error, Store};

/// The tracers by whose rows processes are found: those about their lives first, then those that most processes have rows of.
const TRACERS: [&str; 6] = ["exec", "exit", "clone", "open", "usage", "connect"];
/// Number of processes up to which those are found that can be meant.
const LISTED: usize = 1_000;
/// The same, if only those are meant that lived at some time. Each takes some 500 bytes.
const MOST: usize = 50_000;

/// The process that a question is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Identity of the process.
    pub exec_id: Option<String>,
    /// Process id of the process.
    pub pid: Option<i64>,
    /// Command name of the process, or name of the program's file.
    pub comm: Option<String>,
    /// Id or name of its container, or the beginning of the id.
    pub container: Option<String>,
    /// A moment at which it lived.
    pub at: Option<i64>,
}

/// The processes that a question can mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// The processes, the earliest first.
    pub processes: Vec<Process>,
    /// True if there are more: the search ended when it had found so many.
    pub is_cut: bool,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.exec_id, &self.comm, self.pid, &self.container) {
            (Some(exec_id), ..) => f.write_str(exec_id),
            (None, Some(comm), Some(pid), _) => write!(f, "{comm}[{pid}]"),
            (None, Some(comm), None, _) => write!(f, "comm:{comm}"),
            (None, None, Some(pid), _) => write!(f, "pid:{pid}"),
            (None, None, None, Some(container)) => write!(f, "container {container}"),
            (None, None, None, None) => f.write_str("a process"),
        }
    }
}

impl Which {
    /// Returns all processes that are meant.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn candidates(&self, store: &Store, span: Span, zone: &TimeZone) -> Result<Candidates, Error> {
        self.find(&Walker::new(store)?, span, zone)
    }

    /// Returns all processes that are meant, the earliest first.
    pub(super) fn find(&self, walker: &Walker<'_>, span: Span, zone: &TimeZone) -> Result<Candidates, Error> {
        let mut conditions = Vec::new();
        if let Some(exec_id) = &self.exec_id {
            conditions.push(Condition::new("exec_id", vec![Sought::Text(exec_id.clone())]));
        }
        if let Some(pid) = self.pid {
            conditions.push(Condition::new("pid", vec![Sought::Int(pid)]));
        }
        let (mut found, mut is_cut) = (Processes::default(), false);
        // Of processes that lived at some time, those that began later are left out at once, but the others can have ended before.
        let most = if self.at.is_some() { MOST } else { LISTED };
        for tracer in TRACERS {
            let mut selection = span.select(conditions.clone());
            // The name of the program's file is in rows of `exec` only looked for there: other rows mostly have the same command name.
            if let Some(comm) = self.comm.as_ref().filter(|_| self.pid.is_none() && tracer != "exec") {
                selection.conditions.push(Condition::new("comm", vec![Sought::Text(comm.clone())]));
            }
            walker.walk(Walk { tracer, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
                for row in (0..chunk.len()).filter(|row| self.fits(chunk, *row)) {
                    let is_known = chunk.text(row, EXEC_ID).is_some_and(|id| found.0.contains_key(id));
                    if is_known || found.0.len() < most {
                        found.note(tracer, chunk, row);
                    } else {
                        is_cut = true;
                    }
                }
            })?;
        }
        let ids: Vec<String> = found.0.keys().cloned().collect();
        found.learn(walker, &ids)?;
        let found: BTreeMap<_, _> = found.0.into_iter().map(|(id, known)| (id, known.process)).collect();
        let mut found: Vec<Process> = found.into_values().filter(|process| self.lived(process)).collect();
        found.iter_mut().for_each(|process| process.in_zone(zone));
        found.sort_by_key(|process| process.start);
        Ok(Candidates { processes: found, is_cut })
    }

    fn fits(&self, chunk: &Chunk<'_>, row: usize) -> bool {
        let is = |wanted: &Option<String>, column: usize| {
            wanted.as_ref().is_none_or(|wanted| chunk.text(row, column) == Some(wanted))
        };
        let in_container = self.container.as_ref().is_none_or(|wanted| {
            chunk.text(row, CONTAINER_NAME) == Some(wanted)
                || chunk
                    .text(row, CONTAINER)
                    .is_some_and(|id| wanted.len() >= 4 && id.starts_with(wanted.as_str()))
        });
        let is_named = |wanted: &String| {
            chunk.text(row, COMM) == Some(wanted) || chunk.text(row, EXE).and_then(program) == Some(wanted)
        };
        is(&self.exec_id, EXEC_ID)
            && self.comm.as_ref().is_none_or(is_named)
            && self.at.is_none_or(|at| began(chunk, row).is_none_or(|began| began <= at))
            && in_container
            && self.pid.is_none_or(|pid| chunk.int(row, PID) == Some(pid))
    }

    /// Returns whether the process lived at the time that is asked for.
    fn lived(&self, process: &Process) -> bool {
        self.at.is_none_or(|at| {
            process.start.is_none_or(|start| start.utc_ns <= at)
                && process.end.is_none_or(|end| at <= end.utc_ns)
        })
    }
}

/// Returns the name of a program's file.
fn program(exe: &str) -> Option<&str> {
    exe.rsplit('/').next()
}

/// Returns the time at which the process of a row began.
fn began(chunk: &Chunk<'_>, row: usize) -> Option<i64> {
    let (exec_id, time, boot_ns) =
        (chunk.text(row, EXEC_ID)?, chunk.int(row, TIME)?, chunk.int(row, BOOT_NS)?);
    start(exec_id, time, boot_ns).map(|start| start.utc_ns)
}
