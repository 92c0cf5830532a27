//! The life of a process: what it executed, ids that it took, signals, and what was refused.

use jiff::tz::TimeZone;
use model::ZonedTime;
use serde::Serialize;
use store::{Condition, Selection, Sought};

use super::info::of;
use crate::Error;
use crate::span::Span;
use crate::store::{Walk, Walker};
use crate::uses::REFUSALS;

/// Number of entries that a list of an answer has.
pub(super) const LISTED: usize = 10_000;

/// A program that the process executed, or tried to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Execution {
    /// Time of the call's end.
    pub time: Option<ZonedTime>,
    /// Path of the program.
    pub path: Option<String>,
    /// Arguments, including the program's name.
    pub argv: Vec<String>,
    /// Program that runs in the place of a script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Name of the error, if the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
}

/// A change of the process's ids or capabilities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdChange {
    /// Time of the call's end.
    pub time: Option<ZonedTime>,
    /// Name of the call.
    pub call: Option<String>,
    /// Effective user id after the call.
    pub euid: Option<i64>,
    /// Effective group id after the call.
    pub egid: Option<i64>,
    /// Name of the error, if the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
}

/// A signal that the process sent or got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Signal {
    /// Time of the call's end.
    pub time: Option<ZonedTime>,
    /// `sent` or `received`.
    pub direction: &'static str,
    /// Number of the signal.
    pub signal: Option<i64>,
    /// Identity of the other process.
    pub other_exec_id: Option<String>,
    /// Process id of the other process.
    pub other_pid: Option<i64>,
    /// Name of the error, if the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
}

/// A call that the system refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// Time of the call's end.
    pub time: Option<ZonedTime>,
    /// Tracer of the row.
    pub tracer: String,
    /// Name of the call, if the row has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The file or object.
    pub what: Option<String>,
    /// Name of the error.
    pub errno: Option<String>,
}

/// Reads about one process.
pub(super) struct Reading<'a> {
    pub(super) walker: &'a Walker<'a>,
    pub(super) exec_id: &'a str,
    pub(super) span: Span,
    pub(super) zone: &'a TimeZone,
}

impl Reading<'_> {
    /// Returns the selection of the rows that have the process in a column.
    pub(super) fn select(&self, column: &str) -> Selection {
        self.span.select(vec![of(column, &[self.exec_id.to_owned()])])
    }

    /// Returns a time as it is shown.
    pub(super) fn time(&self, utc_ns: Option<i64>) -> Option<ZonedTime> {
        utc_ns.map(|utc_ns| ZonedTime::new(utc_ns, self.zone))
    }

    pub(super) fn execs(&self) -> Result<Vec<Execution>, Error> {
        let columns = ["exec_id", "time", "fname", "argv", "interpreter", "errno"];
        let (selection, mut found) = (self.select("exec_id"), Vec::new());
        self.walker.walk(
            Walk { tracer: "exec", columns: &columns, selection: &selection },
            &mut |chunk| {
                for row in (0..chunk.len()).filter(|row| chunk.text(*row, 0) == Some(self.exec_id)) {
                    let text = |column| chunk.text(row, column).map(str::to_owned);
                    found.push(Execution {
                        time: self.time(chunk.int(row, 1)),
                        path: text(2),
                        argv: chunk.texts(row, 3).map(str::to_owned).collect(),
                        interpreter: text(4),
                        errno: text(5),
                    });
                }
            },
        )?;
        found.sort_by_key(|one| one.time);
        Ok(found)
    }

    pub(super) fn ids(&self) -> Result<Vec<IdChange>, Error> {
        let columns = ["exec_id", "time", "call", "euid", "egid", "errno"];
        let (selection, mut found) = (self.select("exec_id"), Vec::new());
        self.walker.walk(
            Walk { tracer: "setuid", columns: &columns, selection: &selection },
            &mut |chunk| {
                for row in (0..chunk.len()).filter(|row| chunk.text(*row, 0) == Some(self.exec_id)) {
                    let text = |column| chunk.text(row, column).map(str::to_owned);
                    let (euid, egid) = (chunk.int(row, 3), chunk.int(row, 4));
                    let time = self.time(chunk.int(row, 1));
                    found.push(IdChange { time, call: text(2), euid, egid, errno: text(5) });
                }
            },
        )?;
        found.sort_by_key(|one| one.time);
        Ok(found)
    }

    pub(super) fn signals(&self) -> Result<Vec<Signal>, Error> {
        let columns = ["exec_id", "target_exec_id", "time", "signal", "pid", "target_pid", "errno"];
        let mut found = Vec::new();
        // Index of this process, and columns of the other one.
        for (direction, own, other, pid) in [("sent", 0, 1, 5), ("received", 1, 0, 4)] {
            let selection = self.select(columns[own]);
            self.walker.walk(
                Walk { tracer: "kill", columns: &columns, selection: &selection },
                &mut |chunk| {
                    for row in (0..chunk.len()).filter(|row| chunk.text(*row, own) == Some(self.exec_id)) {
                        found.push(Signal {
                            time: self.time(chunk.int(row, 2)),
                            direction,
                            signal: chunk.int(row, 3),
                            other_exec_id: chunk.text(row, other).map(str::to_owned),
                            other_pid: chunk.int(row, pid),
                            errno: chunk.text(row, 6).map(str::to_owned),
                        });
                    }
                },
            )?;
        }
        found.sort_by_key(|one| one.time);
        Ok(found)
    }

    pub(super) fn refused(&self) -> Result<Vec<Refusal>, Error> {
        let columns = ["exec_id", "errno", "time", "call", "fname", "name", "daddr"];
        let mut selection = self.select("exec_id");
        let errors = REFUSALS.map(|name| Sought::Text(name.to_owned())).to_vec();
        selection.conditions.push(Condition::new("errno", errors));
        let mut found = Vec::new();
        for tracer in self.walker.tracers() {
            self.walker.walk(
                Walk { tracer: &tracer, columns: &columns, selection: &selection },
                &mut |chunk| {
                    for row in (0..chunk.len()).filter(|row| chunk.text(*row, 0) == Some(self.exec_id)) {
                        let text = |column| chunk.text(row, column).map(str::to_owned);
                        if !text(1).is_some_and(|errno| REFUSALS.contains(&errno.as_str()))
                            || found.len() >= LISTED
                        {
                            continue;
                        }
                        let time = self.time(chunk.int(row, 2));
                        let what = text(4).or_else(|| text(5)).or_else(|| text(6));
                        found.push(Refusal {
                            time,
                            tracer: tracer.clone(),
                            call: text(3),
                            what,
                            errno: text(1),
                        });
                    }
                },
            )?;
        }
        found.sort_by_key(|one| one.time);
        Ok(found)
    }
}
