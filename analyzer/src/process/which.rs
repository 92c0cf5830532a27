//! Finds the process that a question is about.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use store::{Condition, Sought};

use super::info::{COLUMNS, COMM, CONTAINER, CONTAINER_NAME, PID, Process, Processes};
use crate::Error;
use crate::span::Span;
use crate::store::{Chunk, Walk, Walker};

/// The tracers by whose rows processes are found: those about their lives first, then those that most processes have rows of.
const TRACERS: [&str; 6] = ["exec", "exit", "clone", "open", "usage", "connect"];
/// Number of processes that are listed if several are meant.
const LISTED: usize = 1_000;

/// The process that a question is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Identity of the process.
    pub exec_id: Option<String>,
    /// Process id of the process.
    pub pid: Option<i64>,
    /// Command name of the process.
    pub comm: Option<String>,
    /// Id or name of its container, or the beginning of the id.
    pub container: Option<String>,
    /// A moment at which it lived.
    pub at: Option<i64>,
}

impl Which {
    /// Parses a pid or an identity (`PID-START`).
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Ok(pid) = text.parse::<u32>() {
            return Ok(Self { pid: Some(pid.into()), ..Self::default() });
        }
        let is_id = |(pid, start): (&str, &str)| pid.parse::<u32>().is_ok() && start.parse::<u64>().is_ok();
        if text.split_once('-').is_some_and(is_id) {
            return Ok(Self { exec_id: Some(text.to_owned()), ..Self::default() });
        }
        let cause = "expected a process id, or an exec_id such as 1234-5678900000".to_owned();
        Err(Error::BadProcess { found: text.to_owned(), cause })
    }

    /// Returns all processes that are meant, the earliest first.
    pub(super) fn find(
        &self,
        walker: &Walker<'_>,
        span: Span,
        zone: &TimeZone,
    ) -> Result<Vec<Process>, Error> {
        let mut conditions = Vec::new();
        if let Some(exec_id) = &self.exec_id {
            conditions.push(Condition::new("exec_id", vec![Sought::Text(exec_id.clone())]));
        }
        if let Some(pid) = self.pid {
            conditions.push(Condition::new("pid", vec![Sought::Int(pid)]));
        }
        if let Some(comm) = &self.comm {
            conditions.push(Condition::new("comm", vec![Sought::Text(comm.clone())]));
        }
        let mut found = Processes::default();
        for tracer in TRACERS {
            let selection = span.select(conditions.clone());
            walker.walk(Walk { tracer, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
                for row in 0..chunk.len() {
                    if found.0.len() < LISTED && self.fits(chunk, row) {
                        found.note(tracer, chunk, row);
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
        Ok(found)
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
        is(&self.exec_id, 0)
            && is(&self.comm, COMM)
            && in_container
            && self.pid.is_none_or(|pid| chunk.int(row, PID) == Some(pid))
    }

    fn lived(&self, process: &Process) -> bool {
        self.at.is_none_or(|at| {
            process.start.is_none_or(|start| start.utc_ns <= at)
                && process.end.is_none_or(|end| at <= end.utc_ns)
        })
    }
}
