//! Random rows and random queries: SQL returns the same rows as a loop over them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use analyzer::{Condition, Query};
use common::{File, OWN_COLUMNS, at, names, ns, rows};
use proptest::prelude::*;

const COMMS: [&str; 3] = ["cat", "sed", "7"];

#[derive(Clone, Debug)]
struct Plain {
    table: usize,
    pid: i64,
    second: u32,
    comm: &'static str,
    dev: Dev,
}

/// A field that is missing, null, a number or a text that looks like one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dev {
    Missing,
    Null,
    Number(i64),
    Text(i64),
}

#[derive(Clone, Debug)]
enum Question {
    Pid(i64),
    Comm(&'static str),
    Dev(i64),
    NoDev,
}

fn row() -> impl Strategy<Value = Plain> {
    let dev = prop_oneof![
        Just(Dev::Missing),
        Just(Dev::Null),
        (0..3i64).prop_map(Dev::Number),
        (0..3i64).prop_map(Dev::Text)
    ];
    (0..3usize, 0..4i64, 0..20u32, prop::sample::select(&COMMS[..]), dev)
        .prop_map(|(table, pid, second, comm, dev)| Plain { table, pid, second, comm, dev })
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        (0..4i64).prop_map(Question::Pid),
        prop::sample::select(&COMMS[..]).prop_map(Question::Comm),
        (0..3i64).prop_map(Question::Dev),
        Just(Question::NoDev),
    ]
}

impl Question {
    fn condition(&self) -> Condition {
        match self {
            Self::Pid(pid) => Condition::equal("pid", &pid.to_string()),
            Self::Comm(comm) => Condition::equal("comm", comm),
            Self::Dev(dev) => Condition::equal("extended.dev", &dev.to_string()),
            Self::NoDev => Condition::null("dev"),
        }
    }

    fn holds(&self, row: &Plain) -> bool {
        match self {
            Self::Pid(pid) => row.pid == *pid,
            Self::Comm(comm) => row.comm == *comm,
            Self::Dev(dev) => row.dev == Dev::Number(*dev) || row.dev == Dev::Text(*dev),
            Self::NoDev => matches!(row.dev, Dev::Missing | Dev::Null),
        }
    }
}

fn store(plain: &[Plain]) -> File {
    let file = File::new();
    let tables = ["a", "b", "c"].map(|tracer| file.table(tracer, "vm", OWN_COLUMNS));
    file.connection.execute_batch("BEGIN").unwrap();
    for (number, row) in plain.iter().enumerate() {
        let dev = match row.dev {
            Dev::Missing => String::new(),
            Dev::Null => r#", "dev": null"#.to_owned(),
            Dev::Number(dev) => format!(r#", "dev": {dev}"#),
            Dev::Text(dev) => format!(r#", "dev": "{dev}""#),
        };
        let extended = format!(r#"{{"number": {number}{dev}}}"#);
        file.row(&tables[row.table], row.pid, &at(row.second), row.comm, None, &extended);
    }
    file.connection.execute_batch("COMMIT").unwrap();
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn answers_are_those_of_a_loop(
        plain in prop::collection::vec(row(), 0..60),
        questions in prop::collection::vec(question(), 0..3),
        (since, until) in (prop::option::of(0..20u32), prop::option::of(0..20u32)),
        (desc, by_pid) in (any::<bool>(), any::<bool>()),
        (start, limit) in (0..5u64, 0..30u64),
    ) {
        let mut expected: Vec<(usize, &Plain)> = plain.iter().enumerate().filter(|(_, row)| {
            questions.iter().all(|question| question.holds(row))
                && since.is_none_or(|since| row.second >= since)
                && until.is_none_or(|until| row.second <= until)
        }).collect();
        // Rows are stored in this order, so that indexes of the vector are ordered like the ids in each table.
        expected.sort_by_key(|(number, row)| (if by_pid { row.pid } else { 0 }, row.second, row.table, *number));
        if desc {
            expected.reverse();
        }
        let limit_or_all = if limit == 0 { usize::MAX } else { limit as usize };
        let expected = expected.iter().skip(start as usize).take(limit_or_all);
        let expected: Vec<String> = expected.map(|(number, _)| number.to_string()).collect();

        let file = store(&plain);
        let query = Query {
            wheres: questions.iter().map(Question::condition).collect(),
            since: since.map(ns),
            until: until.map(ns),
            columns: names(&["extended.number"]),
            order_by: if by_pid { names(&["pid"]) } else { Vec::new() },
            desc,
            start,
            limit,
            ..Query::default()
        };
        for store in &file.stores().stores {
            let found = rows(store, &query).unwrap();
            let found: Vec<String> = found.iter().map(|row| common::show(&row.cells[0])).collect();
            prop_assert_eq!(&found, &expected, "{:?}", store.path());
        }
    }
}
