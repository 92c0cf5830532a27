//! Rows are selected as a loop over all rows would select them, and row groups that can't have such rows are not read.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Scratch, row, write};
use model::{ExecId, Tracking};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Condition, ReadCounts, Reader, Reads, Selection, Sought};

/// Returns a row of `open` with the number as its time and as its field `size`. Its file is one of ten.
fn opened(number: i64) -> Tracking {
    let file = number % 10;
    let fields = Map::from_iter([("ino".to_owned(), json!(file * 100)), ("size".to_owned(), json!(number))]);
    with_process(row("open", number, fields), number / 20, file)
}

fn with_process(mut row: Tracking, process: i64, file: i64) -> Tracking {
    row.exec_id = Some(ExecId { pid: 1000 + process as u32, start_ns: 7 });
    row.fname = Some(format!("/data/{file:02}").as_str().into());
    row
}

/// A store with four sealed files of 100 rows, and 100 rows in a batch.
fn mixed(made: impl Fn(i64) -> Tracking) -> Scratch {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    for part in 0..5 {
        write(&mut writer, (part * 100..part * 100 + 100).map(&made).collect());
        if part < 4 {
            scratch.seal();
        }
    }
    scratch
}

/// Returns the fields `size` of the selected rows, in order, and how batches were read.
fn sizes(scratch: &Scratch, selection: &Selection) -> (Vec<Value>, ReadCounts) {
    let reads = Arc::new(Reads::default());
    let (reader, connection) = (Reader::counting(&reads), scratch.open());
    let mut found = Vec::new();
    for stream in reader.streams(&connection).unwrap() {
        for batch in reader.batches(&connection, stream.id, i64::MIN, i64::MAX).unwrap() {
            let rows = reader.select(&connection, &batch, |name| name == "size", selection).unwrap();
            found.extend((0..rows.len()).map(|row| rows.extended(row).remove("size").unwrap()));
        }
    }
    (found, reads.counts())
}

fn one(condition: Condition) -> Selection {
    Selection { conditions: vec![condition], ..Selection::default() }
}

fn text(text: &str) -> Sought {
    Sought::Text(text.to_owned())
}

fn numbers(numbers: impl IntoIterator<Item = i64>) -> Vec<Value> {
    numbers.into_iter().map(Value::from).collect()
}

#[test]
fn files_without_the_process_are_left_out() {
    let scratch = mixed(opened);
    let selection = one(Condition::new("exec_id", vec![text("1006-7")]));
    let (found, counts) = sizes(&scratch, &selection);
    assert_eq!(found, numbers(120..140));
    // Of the batch, the column is read.
    assert_eq!(counts, ReadCounts { skipped: 3, tested: 1, read: 1 });
    let (found, counts) =
        sizes(&scratch, &one(Condition::new("exec_id", vec![text("1006-7"), text("1024-7")])));
    assert_eq!(found, numbers((120..140).chain(480..500)));
    assert_eq!(counts, ReadCounts { skipped: 3, tested: 0, read: 2 });
}

#[test]
fn filters_know_what_the_smallest_and_the_largest_value_do_not() {
    let scratch = mixed(opened);
    for (column, absent) in [("fname", text("/data/055")), ("ino", Sought::Int(550))] {
        let (found, counts) = sizes(&scratch, &one(Condition::new(column, vec![absent])));
        assert_eq!(found, numbers([]), "{column}");
        assert_eq!(counts, ReadCounts { skipped: 4, tested: 1, read: 0 }, "{column}");
    }
}

#[test]
fn rows_with_the_field_or_with_the_name_among_other_fields_are_selected_too() {
    let made = |number| {
        let mut row = opened(number);
        let mut fields = Map::from_iter([("size".to_owned(), json!(number))]);
        match number {
            // A number that does not fit the column is among the other fields.
            150 => fields.insert("ino".to_owned(), json!("text")),
            250 => fields.insert("path_incomplete".to_owned(), json!(true)),
            350 => fields.insert("path_incomplete".to_owned(), json!("text")),
            _ => None,
        };
        row.extended = model::Extended::new(model::Details::Fields(fields));
        row
    };
    let scratch = mixed(made);
    let (found, counts) = sizes(&scratch, &one(Condition::new("ino", vec![Sought::Int(5)])));
    assert_eq!(found, numbers([]));
    assert_eq!(counts, ReadCounts { skipped: 4, tested: 1, read: 0 });
    let is_field = Condition { is_field: true, ..Condition::new("ino", vec![Sought::Int(5)]) };
    let (found, counts) = sizes(&scratch, &one(is_field));
    assert_eq!(found, numbers([150]));
    assert_eq!(counts, ReadCounts { skipped: 3, tested: 1, read: 1 });
    let absent = Condition::new("fname", vec![text("/other")]);
    let in_doubt = Condition { or_has: Some("path_incomplete"), ..absent };
    let (found, counts) = sizes(&scratch, &one(in_doubt));
    assert_eq!(found, numbers([250, 350]));
    assert_eq!(counts, ReadCounts { skipped: 2, tested: 1, read: 2 });
}

#[test]
fn values_of_another_type_are_left_to_the_caller() {
    let scratch = mixed(opened);
    for condition in [Condition::new("ino", vec![text("100")]), Condition::new("fname", vec![Sought::Int(1)])]
    {
        let (found, counts) = sizes(&scratch, &one(condition));
        assert_eq!(found, numbers(0..500));
        assert_eq!(counts.read, 5);
    }
    let nothing = sizes(&scratch, &one(Condition::new("ino", Vec::new())));
    assert_eq!(nothing.0, numbers([]));
}

/// Returns conditions on the columns that differ between rows.
fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let int = (-1_i64..12).prop_map(|number| Sought::Int(number * 100));
    let file = prop_oneof![
        (0..12).prop_map(|number| Sought::Text(format!("/data/{number:02}"))),
        prop::sample::select(vec!["/data/0", "/data/05", "/data/1", "/data/05x", "/tmp", ""])
            .prop_map(|prefix| Sought::Prefix(prefix.to_owned())),
    ];
    let process = (998..1030).prop_map(|pid| Sought::Text(format!("{pid}-7")));
    let many = |of: BoxedStrategy<Sought>| prop::collection::vec(of, 0..80);
    let one = prop_oneof![
        many(int.boxed()).prop_map(|values| Condition::new("ino", values)),
        many(file.boxed()).prop_map(|values| Condition::new("fname", values)),
        many(process.boxed()).prop_map(|values| Condition::new("exec_id", values)),
    ];
    prop::collection::vec(one, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn selected_rows_are_those_of_a_loop(
        conditions in conditions(),
        (since, until) in (-10_i64..510, -10_i64..510),
        is_bounded: bool,
    ) {
        thread_local! {
            static STORE: Scratch = mixed(opened);
        }
        let (since, until) = if is_bounded { (since, until) } else { (i64::MIN, i64::MAX) };
        let selection = Selection { since, until, conditions };
        let has = |number: i64, condition: &Condition| {
            let value = match condition.column.as_str() {
                "ino" => Sought::Int(number % 10 * 100),
                "fname" => Sought::Text(format!("/data/{:02}", number % 10)),
                _ => Sought::Text(format!("{}-7", 1000 + number / 20)),
            };
            let text = if let Sought::Text(text) = &value { text.as_str() } else { "" };
            let is_one = |sought: &Sought| match sought {
                Sought::Prefix(prefix) => text.starts_with(prefix.as_str()),
                other => *other == value,
            };
            condition.values.iter().any(is_one)
        };
        let expected = (0..500).filter(|number| (since..=until).contains(number));
        let expected = expected.filter(|number| selection.conditions.iter().all(|one| has(*number, one)));
        STORE.with(|store| {
            prop_assert_eq!(sizes(store, &selection).0, numbers(expected));
            Ok(())
        })?;
    }
}
