//! The question `uses` over random rows, in all kinds of stores, against a loop over the rows.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

use analyzer::{By, Span, Store, Target, UsesQuery};
use common::{File, OWN_COLUMNS, at, ns};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rusqlite::params;
use serde_json::{Value, json};

const NAMES: [&str; 6] =
    ["/data/a", "/data/b", r"/data/sub/caf\xe9", "/data/a (deleted)", "/other/\nx", "/database/a"];
const TARGETS: [&str; 5] = ["/data/a", "/data/", "/data/*", "id:1:11:7", "/other/\nx"];
const BYS: [By; 5] = [By::Process, By::User, By::Exe, By::Container, By::Day];

/// A row of the random store.
#[derive(Clone, Debug)]
struct Plain {
    second: u32,
    process: i64,
    kind: Kind,
    /// Number of the file; `None` if the row has no identity.
    file: Option<u64>,
    name: usize,
    new_name: usize,
    replaced: Option<u64>,
    errno: Option<&'static str>,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Read,
    Copied,
    Mapped,
    Open,
    Truncating,
    Rename,
    Unlink,
    Attr,
}

impl Plain {
    fn tracer(&self) -> &'static str {
        match self.kind {
            Kind::Read | Kind::Copied | Kind::Mapped => "usage",
            Kind::Open | Kind::Truncating => "open",
            Kind::Rename => "rename",
            Kind::Unlink => "unlink",
            Kind::Attr => "attr",
        }
    }

    fn is_usage(&self) -> bool {
        self.tracer() == "usage"
    }

    fn errno(&self) -> Option<&'static str> {
        self.errno.filter(|_| !self.is_usage())
    }

    fn file(&self) -> Option<u64> {
        if self.is_usage() { self.file.or(Some(13)) } else { self.file }
    }

    fn extended(&self) -> Value {
        let mut fields = serde_json::Map::new();
        let mut add = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        if let Some(ino) = self.file() {
            add("dev", json!(1));
            add("ino", json!(ino));
            add("generation", json!(7));
        }
        let text = |second: u32| common::time(&at(second)).to_text();
        match self.kind {
            Kind::Read => {
                add("bytes_read", json!(self.number));
                add("calls_read", json!(2));
                add("via", json!(["read", "sendfile"]));
            }
            Kind::Copied => {
                add("bytes_written", json!(self.number));
                add("calls_written", json!(1));
                add("via", json!(["copy_file_range"]));
            }
            Kind::Mapped => {
                add("bytes_mapped", json!(self.number));
                add("calls_mapped", json!(3));
                add("via", json!(["mmap"]));
            }
            Kind::Open => add("flags", json!(["O_RDONLY"])),
            Kind::Truncating => add("flags", json!(["O_WRONLY", "O_TRUNC"])),
            Kind::Rename => {
                add("new_path", json!(NAMES[self.new_name]));
                if let Some(ino) = self.replaced {
                    add("replaced_dev", json!(1));
                    add("replaced_ino", json!(ino));
                    add("replaced_generation", json!(7));
                }
            }
            Kind::Unlink | Kind::Attr => {}
        }
        if self.is_usage() {
            add("first", json!(at(self.second.saturating_sub(1))));
            add("last", json!(at(self.second)));
            add("first_time", json!(text(self.second.saturating_sub(1))));
            add("last_time", json!(text(self.second)));
        }
        self.errno().into_iter().for_each(|errno| add("errno", json!(errno)));
        Value::Object(fields)
    }
}

/// Sums of a group, by the names that the answer has.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    numbers: BTreeMap<&'static str, u64>,
    first: Option<i64>,
    last: Option<i64>,
}

impl Sum {
    fn add(&mut self, name: &'static str, more: u64) {
        if more > 0 {
            *self.numbers.entry(name).or_default() += more;
        }
    }

    fn note(&mut self, first: u32, last: u32) {
        self.first = [self.first, Some(ns(first))].into_iter().flatten().min();
        self.last = self.last.max(Some(ns(last)));
    }

    fn row(&mut self, row: &Plain) {
        if row.is_usage() {
            let (bytes, calls, count) = match row.kind {
                Kind::Read => ("bytes_read", "calls_read", 2),
                Kind::Copied => ("bytes_written", "calls_written", 1),
                _ => ("bytes_mapped", "calls_mapped", 3),
            };
            self.add(bytes, row.number);
            self.add(calls, count);
            self.add("calls", count);
            if row.kind == Kind::Copied {
                self.add("bytes_copied", row.number);
            }
            return self.note(row.second.saturating_sub(1), row.second);
        }
        self.note(row.second, row.second);
        let name = match (row.errno(), row.kind) {
            (Some("EACCES"), _) => "refused",
            (Some(_), _) => "failed",
            (None, Kind::Rename) => "renames",
            (None, Kind::Unlink) => "deletes",
            (None, Kind::Attr) => "attrs",
            (None, _) => "opens",
        };
        self.add(name, 1);
        if (row.errno(), row.kind) == (None, Kind::Truncating) {
            self.add("truncations", 1);
        }
    }
}

/// Answers the question by a loop over the rows.
fn by_loop(rows: &[Plain], target: &str, (since, until): (u32, u32), by: By) -> BTreeMap<String, Sum> {
    let matches = |name: &str| {
        let one = |name: &str| match target {
            "/data/" => name.starts_with("/data/"),
            "/data/*" => name.strip_prefix("/data/").is_some_and(|rest| !rest.contains('/')),
            path => path == name,
        };
        one(name) || name.strip_suffix(" (deleted)").is_some_and(one)
    };
    let rows = rows.iter().filter(|row| (since..=until).contains(&row.second));
    let is_ok = |row: &Plain| row.errno().is_none();
    let renamed = |row: &Plain| row.kind == Kind::Rename && is_ok(row);
    let mut files = BTreeSet::new();
    if target.starts_with("id:") {
        files.insert(11);
    }
    for row in rows.clone() {
        if matches(NAMES[row.name]) {
            files.extend(row.file());
        }
        if renamed(row) && matches(NAMES[row.new_name]) {
            files.extend(row.file().into_iter().chain(row.replaced));
        }
    }
    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    let mut note = |name: &'static str, second: u32| {
        let name = name.strip_suffix(" (deleted)").unwrap_or(name);
        let from = names.entry(name).or_insert(second);
        *from = second.min(*from);
    };
    for row in rows.clone().filter(|row| row.file().is_some_and(|file| files.contains(&file))) {
        note(NAMES[row.name], row.second);
        if renamed(row) {
            note(NAMES[row.new_name], row.second);
        }
    }
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for row in rows {
        let key = match by {
            By::Process => format!("{}-5", row.process),
            By::User => (row.process * 500).to_string(),
            By::Exe => format!("/bin/{}", row.process % 2),
            By::Container => {
                if row.process == 0 {
                    "none".to_owned()
                } else {
                    "c1".to_owned()
                }
            }
            By::Day => "2026-01-31".to_owned(),
        };
        let has = |name: &str| matches(name) || names.get(name).is_some_and(|from| *from <= row.second);
        let is_ours = row.file().is_some_and(|file| files.contains(&file));
        let by_name = !is_ours && !row.is_usage() && (row.file().is_none() || !is_ok(row));
        let second_name = row.kind == Kind::Rename && has(NAMES[row.new_name]);
        if is_ours || (by_name && (has(NAMES[row.name]) || second_name)) {
            sums.entry(key.clone()).or_default().row(row);
        }
        if renamed(row) && row.replaced.is_some_and(|file| files.contains(&file)) {
            let sum = sums.entry(key).or_default();
            sum.add("deletes", 1);
            sum.note(row.second, row.second);
        }
    }
    sums
}

/// Answers the question by the store.
fn by_store(store: &Store, target: &str, (since, until): (u32, u32), by: By) -> BTreeMap<String, Sum> {
    let targets = vec![Target::parse(OsStr::new(target), Path::new("/")).unwrap()];
    let span = Span { since: ns(since), until: ns(until) };
    let query = UsesQuery { targets, span, by, zone: TimeZone::system(), limit: 100 };
    let (uses, _) = query.run(store).unwrap();
    let rows = uses.rows.iter().map(|row| {
        let group = serde_json::to_value(&row.group).unwrap();
        let key = ["exec_id", "uid", "exe", "container_id", "day"];
        let key = if by == By::Process { &key[..1] } else { &key[1..] };
        let key = key.iter().find_map(|name| group.get(*name)).map_or_else(
            || "none".to_owned(),
            |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        );
        let Value::Object(fields) = serde_json::to_value(&row.sums).unwrap() else { panic!("an object") };
        let names = [
            "bytes_read",
            "bytes_written",
            "bytes_mapped",
            "bytes_copied",
            "calls",
            "calls_read",
            "calls_written",
            "calls_mapped",
            "opens",
            "refused",
            "failed",
            "renames",
            "deletes",
            "attrs",
            "truncations",
        ];
        let numbers = names.into_iter().map(|name| (name, fields[name].as_u64().unwrap()));
        let numbers = numbers.filter(|(_, number)| *number > 0).collect();
        let time = |at: Option<model::ZonedTime>| at.map(|at| at.utc_ns);
        (key, Sum { numbers, first: time(row.sums.first), last: time(row.sums.last) })
    });
    rows.collect()
}

fn file(rows: &[Plain]) -> File {
    let file = File::new();
    let tracers = ["usage", "open", "rename", "unlink", "attr"];
    let tables = tracers.map(|tracer| file.table(tracer, "vm", OWN_COLUMNS));
    file.connection.execute_batch("BEGIN").unwrap();
    for row in rows {
        let table = &tables[tracers.iter().position(|tracer| *tracer == row.tracer()).unwrap()];
        let sql = format!(
            "INSERT INTO {table} (pid, uid, gid, dt, time, comm, fname, extended, exec_id, exe, container_id, ret)
             VALUES (?, ?, 0, ?, ?, 'x', ?, ?, ?, ?, ?, ?)"
        );
        let ret = (!row.is_usage()).then(|| if row.errno().is_some() { -13 } else { 0 });
        let container = (row.process > 0).then_some("c1");
        let values = params![
            row.process,
            row.process * 500,
            at(row.second),
            ns(row.second),
            NAMES[row.name],
            row.extended().to_string(),
            format!("{}-5", row.process),
            format!("/bin/{}", row.process % 2),
            container,
            ret
        ];
        file.connection.execute(&sql, values).unwrap();
    }
    file.connection.execute_batch("COMMIT").unwrap();
    file
}

fn plain() -> impl Strategy<Value = Plain> {
    let kind = prop::sample::select(vec![
        Kind::Read,
        Kind::Copied,
        Kind::Mapped,
        Kind::Open,
        Kind::Truncating,
        Kind::Rename,
        Kind::Unlink,
        Kind::Attr,
    ]);
    let errno = prop::sample::select(vec![None, None, Some("EACCES"), Some("ENOENT")]);
    let names = (0..NAMES.len(), 0..NAMES.len());
    let ids = (prop::option::of(10..14u64), prop::option::of(10..14u64));
    ((1..30u32, 0..3i64), kind, names, ids, errno, 0..10_000u64).prop_map(
        |((second, process), kind, (name, new_name), (file, replaced), errno, number)| {
            // A rename of a file over itself does nothing.
            let replaced = replaced.filter(|other| Some(*other) != file);
            Plain { second, process, kind, file, name, new_name, replaced, errno, number }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_are_those_of_a_loop(
        rows in prop::collection::vec(plain(), 0..50),
        target in prop::sample::select(&TARGETS[..]),
        by in prop::sample::select(&BYS[..]),
        times in (0..30u32, 0..30u32),
        is_bounded: bool,
    ) {
        let times = if is_bounded { times } else { (0, 59) };
        let expected = by_loop(&rows, target, times, by);
        let file = file(&rows);
        for store in &file.stores().stores {
            let found = by_store(store, target, times, by);
            prop_assert_eq!(&found, &expected, "{:?}", store.path());
        }
    }
}
