//! Facts about processes, from rows of `clone`, `exec` and `exit`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use model::ZonedTime;
use serde::Serialize;
use store::{Condition, Sought};

use crate::Error;
use crate::span::Span;
use crate::store::{Chunk, Walk, Walker};

/// A process with what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Process {
    /// Identity of the process; `None` if only its pid is known.
    pub exec_id: Option<String>,
    /// Identity of the process that made it, if that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_exec_id: Option<String>,
    /// Process id in the initial pid namespace.
    pub pid: Option<i64>,
    /// Process id of the parent.
    pub ppid: Option<i64>,
    /// Command name, the last one.
    pub comm: Option<String>,
    /// Executable file, the last one.
    pub exe: Option<String>,
    /// Arguments of the last program that it executed.
    pub argv: Option<Vec<String>>,
    /// Effective user id, the last one.
    pub uid: Option<i64>,
    /// Id of the container.
    pub container_id: Option<String>,
    /// Name of the container.
    pub container_name: Option<String>,
    /// Time of its start.
    pub start: Option<ZonedTime>,
    /// Time of its end, if that was recorded.
    pub end: Option<ZonedTime>,
    /// Exit code, 0 to 255.
    pub code: Option<i64>,
    /// Number of the signal that ended it; 0 if none did.
    pub signal: Option<i64>,
}

/// The columns that tell of a process, whatever the tracer.
pub(super) const COLUMNS: [&str; 14] = [
    "exec_id",
    "pid",
    "ppid",
    "comm",
    "exe",
    "uid",
    "container_id",
    "container_name",
    "time",
    "boot_ns",
    "argv",
    "ret",
    "code",
    "signal",
];
pub(super) const EXEC_ID: usize = 0;
pub(super) const PID: usize = 1;
pub(super) const COMM: usize = 3;
pub(super) const EXE: usize = 4;
pub(super) const CONTAINER: usize = 6;
pub(super) const CONTAINER_NAME: usize = 7;
pub(super) const TIME: usize = 8;
pub(super) const BOOT_NS: usize = 9;

/// A process and the time of what is known last of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) process: Process,
    at: Option<i64>,
    /// Time of the exec that the arguments are from.
    executed: Option<i64>,
}

/// Processes by their identities.
#[derive(Clone, Debug, Default)]
pub(super) struct Processes(pub(super) BTreeMap<String, Known>);

impl Processes {
    /// Notes what a row says about the process that caused it. An exec that failed changes nothing.
    pub(super) fn note(&mut self, tracer: &str, chunk: &Chunk<'_>, row: usize) {
        let Some(exec_id) = chunk.text(row, EXEC_ID) else { return };
        let known = match self.0.get_mut(exec_id) {
            Some(known) => known,
            None => self.0.entry(exec_id.to_owned()).or_default(),
        };
        known.process.exec_id.get_or_insert_with(|| exec_id.to_owned());
        let time = chunk.int(row, TIME);
        known.process.start = known.process.start.or_else(|| start(exec_id, time?, chunk.int(row, BOOT_NS)?));
        if tracer == "exit" {
            known.process.end = time.map(|utc_ns| ZonedTime { utc_ns, offset: 0 });
            (known.process.code, known.process.signal) = (chunk.int(row, 12), chunk.int(row, 13));
        }
        if tracer == "exec" && known.executed <= time && chunk.int(row, 11).is_none_or(|ret| ret >= 0) {
            let argv: Vec<String> = chunk.texts(row, 10).map(str::to_owned).collect();
            known.executed = time;
            known.process.argv = Some(argv).filter(|argv| !argv.is_empty());
        }
        if known.at > time {
            return;
        }
        known.at = time;
        let process = &mut known.process;
        let take = |slot: &mut Option<String>, column: usize| {
            if let Some(text) = chunk.text(row, column).filter(|text| slot.as_deref() != Some(text)) {
                *slot = Some(text.to_owned());
            }
        };
        take(&mut process.comm, COMM);
        take(&mut process.exe, EXE);
        take(&mut process.container_id, CONTAINER);
        take(&mut process.container_name, CONTAINER_NAME);
        process.pid = chunk.int(row, PID).or(process.pid);
        process.ppid = chunk.int(row, 2).or(process.ppid);
        process.uid = chunk.int(row, 5).or(process.uid);
    }

    /// Notes what rows of `exec`, `clone` and `exit` say about processes.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(super) fn learn(&mut self, walker: &Walker<'_>, exec_ids: &[String]) -> Result<(), Error> {
        if exec_ids.is_empty() {
            return Ok(());
        }
        let wanted: std::collections::HashSet<&str> = exec_ids.iter().map(String::as_str).collect();
        let selection = Span::ALL.select(vec![of("exec_id", exec_ids)]);
        for tracer in ["clone", "exec", "exit"] {
            walker.walk(Walk { tracer, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
                for row in 0..chunk.len() {
                    if chunk.text(row, EXEC_ID).is_some_and(|id| wanted.contains(id)) {
                        self.note(tracer, chunk, row);
                    }
                }
            })?;
        }
        Ok(())
    }
}

impl Process {
    /// Shows all times in this zone.
    pub(super) fn in_zone(&mut self, zone: &TimeZone) {
        for at in [&mut self.start, &mut self.end].into_iter().flatten() {
            *at = ZonedTime::new(at.utc_ns, zone);
        }
    }
}

/// Returns the condition that a column has one of these identities.
pub(super) fn of(column: &str, exec_ids: &[String]) -> Condition {
    Condition::new(column, exec_ids.iter().cloned().map(Sought::Text).collect())
}

/// Returns the time at which a process started, by the clocks of one of its rows.
pub(super) fn start(exec_id: &str, time: i64, boot_ns: i64) -> Option<ZonedTime> {
    let start: i64 = exec_id.split_once('-')?.1.parse().ok()?;
    Some(ZonedTime { utc_ns: time.saturating_sub(boot_ns).saturating_add(start), offset: 0 })
}
