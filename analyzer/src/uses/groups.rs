//! Groups of rows: by process, user, program, container or day.

use foldhash::HashMap;
use jiff::tz::TimeZone;
use model::ZonedTime;
use serde::Serialize;

use super::columns::{COMM, CONTAINER, CONTAINER_NAME, COUNT, EXE, EXEC_ID, PID, TIME, UID};
use super::sums::Sums;
use crate::store::Chunk;

/// The kind of groups: a row of the answer is about one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A single process, by its `exec_id`.
    #[default]
    Process,
    /// All processes of one user.
    User,
    /// All processes that ran one program.
    Exe,
    /// All processes of one container.
    Container,
    /// All rows of one day.
    Day,
}

/// A group of rows. Fields that do not belong to the kind of group are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// True for the sum of the groups that are not kept apart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub others: bool,
    /// Identity of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_id: Option<String>,
    /// Id of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// Command name, the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Effective user id, the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<i64>,
    /// Executable file, the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Id of the container; absent outside of containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// Name of the container, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// The day as in local time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
}

/// Nanoseconds of an hour, in which the offset of local time is taken not to change.
const HOUR: i64 = 3_600_000_000_000;

impl By {
    /// Returns the columns of rows that tell the group; an empty name stands for one that is not read.
    pub(super) fn columns(self) -> [&'static str; COUNT] {
        match self {
            Self::Process => ["exec_id", "pid", "comm", "uid", "exe", "container_id", "container_name"],
            Self::User => ["", "", "", "uid", "", "", ""],
            Self::Exe => ["", "", "", "", "exe", "", ""],
            Self::Container => ["", "", "", "", "", "container_id", "container_name"],
            Self::Day => [""; COUNT],
        }
    }
}

/// A group with what it did.
#[derive(Clone, Debug, Serialize)]
pub struct UsesRow {
    /// The properties of the group.
    pub group: Group,
    /// Sums of what it did.
    #[serde(flatten)]
    pub sums: Sums,
}

/// A group with its sums so far.
struct Entry {
    group: Group,
    /// Time of the row that the group's properties are from.
    at: i64,
    sums: Sums,
}

/// Sums of rows by group.
pub(super) struct Groups {
    by: By,
    zone: TimeZone,
    limit: usize,
    entries: Vec<Entry>,
    index: HashMap<Box<str>, usize>,
    others: Option<Box<Entry>>,
    /// Key of the group of the last row, and its index.
    last: (String, usize),
    /// The hour of the last row, and its day.
    day: (i64, String),
    /// Number of rows that were added up, because there are too many groups.
    pub(super) left_out: u64,
}

impl Groups {
    pub(super) fn new(by: By, zone: TimeZone, limit: usize) -> Self {
        let (last, day) = ((String::new(), usize::MAX), (i64::MIN, String::new()));
        Self {
            by,
            zone,
            limit,
            entries: Vec::new(),
            index: HashMap::default(),
            others: None,
            last,
            day,
            left_out: 0,
        }
    }

    /// Returns the sums of the group that a row belongs to.
    pub(super) fn of(&mut self, chunk: &Chunk<'_>, row: usize) -> &mut Sums {
        let time = chunk.int(row, TIME).unwrap_or_default();
        let mut number = String::new();
        let key = match self.by {
            By::Process => match chunk.text(row, EXEC_ID) {
                Some(exec_id) => exec_id,
                None => shown(&mut number, chunk.int(row, PID)),
            },
            By::User => shown(&mut number, chunk.int(row, UID)),
            By::Exe => chunk.text(row, EXE).unwrap_or_default(),
            By::Container => chunk.text(row, CONTAINER).unwrap_or_default(),
            By::Day => {
                self.take_day(time);
                self.day.1.as_str()
            }
        };
        if self.last.1 == usize::MAX || self.last.0 != key {
            let found = self.index.get(key).copied();
            if found.is_none() && self.entries.len() >= self.limit {
                self.left_out += 1;
                let group = Group { others: true, ..Group::default() };
                let empty = || Box::new(Entry { group, at: i64::MAX, sums: Sums::default() });
                return &mut self.others.get_or_insert_with(empty).sums;
            }
            let index = found.unwrap_or(self.entries.len());
            if found.is_none() {
                self.index.insert(key.into(), index);
                let (group, at) = (Group::default(), i64::MIN);
                self.entries.push(Entry { group, at, sums: Sums::default() });
            }
            self.last = (key.to_owned(), index);
        }
        let day = (self.by == By::Day).then(|| self.last.0.clone());
        let entry = &mut self.entries[self.last.1];
        if entry.at < time {
            entry.at = time;
            entry.group.update(chunk, row, day);
        }
        &mut entry.sums
    }

    /// Sets the day of a time. The day of an hour is that of all of its times.
    fn take_day(&mut self, time: i64) {
        let hour = time.div_euclid(HOUR);
        if self.day.1.is_empty() || self.day.0 != hour {
            let text = ZonedTime::new(time, &self.zone).to_text();
            self.day = (hour, text.get(..10).unwrap_or(&text).to_owned());
        }
    }

    /// Returns the groups, those that moved most bytes first.
    pub(super) fn finish(self) -> Vec<UsesRow> {
        let shown = |entry: Entry, zone: &TimeZone| {
            let mut sums = entry.sums;
            sums.in_zone(zone);
            UsesRow { group: entry.group, sums }
        };
        let zone = &self.zone;
        let mut rows: Vec<UsesRow> = self.entries.into_iter().map(|entry| shown(entry, zone)).collect();
        if self.by == By::Day {
            rows.sort_by(|one, other| one.group.day.cmp(&other.group.day));
        } else {
            rows.sort_by_key(|row| (std::cmp::Reverse(row.sums.weight()), row.sums.first));
        }
        rows.extend(self.others.map(|entry| shown(*entry, zone)));
        rows
    }
}

impl Group {
    /// Takes the properties of a row; those that it lacks stay.
    fn update(&mut self, chunk: &Chunk<'_>, row: usize, day: Option<String>) {
        let take = |slot: &mut Option<String>, column: usize| {
            if let Some(text) = chunk.text(row, column).filter(|text| slot.as_deref() != Some(text)) {
                *slot = Some(text.to_owned());
            }
        };
        take(&mut self.exec_id, EXEC_ID);
        take(&mut self.comm, COMM);
        take(&mut self.exe, EXE);
        take(&mut self.container_id, CONTAINER);
        take(&mut self.container_name, CONTAINER_NAME);
        self.pid = chunk.int(row, PID).or(self.pid);
        self.uid = chunk.int(row, UID).or(self.uid);
        self.day = day.or(self.day.take());
    }
}

fn shown(text: &mut String, number: Option<i64>) -> &str {
    *text = number.map(|number| number.to_string()).unwrap_or_default();
    text
}
