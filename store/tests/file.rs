//! The file: what one transaction holds, how small batches are put together, and which files are refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Scratch, numbered, numbers, open, row, run, write};
use model::{AccountSnapshot, BootNs, Clocks, Routed, WallTime};
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Map, json};
use store::bookkeeping::Now;
use store::{Error, Reader, TracerAccount, Writer};

fn batches(connection: &Connection) -> Vec<(i64, i64)> {
    let sql = "SELECT first_id, rows FROM batch ORDER BY first_id";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the sizes of writes, and whenever the writer begins anew: every row once, in order, in few batches.
    #[test]
    fn small_batches_are_put_together(writes in vec((1_i64..60, prop::bool::weighted(0.1)), 1..60)) {
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        let mut sent = 0;
        for (count, begins_anew) in &writes {
            write(&mut writer, (sent..sent + count).map(|number| numbered("t", number)).collect());
            sent += count;
            if *begins_anew {
                writer = scratch.writer();
            }
        }
        prop_assert_eq!(numbers(&scratch.rows("t")), (0..sent).collect::<Vec<_>>());
        let batches = batches(&scratch.open());
        let ends = batches.iter().scan(1, |next, (first, rows)| {
            let follows = *next == *first;
            *next = first + rows;
            Some(follows)
        });
        prop_assert!(ends.into_iter().all(|follows| follows), "{batches:?}");
        let small = batches.iter().filter(|(_, rows)| *rows < 1000).count();
        prop_assert!(small <= 10, "{batches:?}");
    }
}

#[test]
fn a_row_is_written_again_only_a_few_times() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    (0..1000).for_each(|number| write(&mut writer, vec![numbered("t", number)]));
    let connection = scratch.open();
    let written: i64 = connection.query_row("SELECT seq FROM sqlite_sequence", [], |row| row.get(0)).unwrap();
    assert_eq!(written, 1000, "each transaction writes one batch");
    assert!(batches(&connection).len() <= 8, "{:?}", batches(&connection));
}

#[test]
fn a_layout_is_stored_once_until_it_grows() {
    let scratch = Scratch::new();
    let layouts =
        || -> i64 { scratch.open().query_row("SELECT count(*) FROM layout", [], |row| row.get(0)).unwrap() };
    let mut writer = scratch.writer();
    for number in 0..3 {
        write(&mut writer, vec![numbered("t", number)]);
    }
    assert_eq!(layouts(), 1);
    let more = Map::from_iter([("number".to_owned(), json!(3)), ("more".to_owned(), json!("x"))]);
    write(&mut writer, vec![row("t", 3, more)]);
    assert_eq!(layouts(), 2);
    // The next run begins with the columns of the last.
    write(&mut scratch.writer(), vec![numbered("t", 4)]);
    assert_eq!(layouts(), 2);
    assert_eq!(numbers(&scratch.rows("t")), [0, 1, 2, 3, 4]);
}

#[test]
fn a_transaction_holds_rows_and_accounts_or_nothing() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    write(&mut writer, vec![numbered("t", 0)]);
    let now = Now { wall: WallTime(1), boot: BootNs(1), clocks: &Clocks::default() };
    let account = |stored| {
        let snapshot = AccountSnapshot { seen: stored, stored, ..AccountSnapshot::default() };
        TracerAccount { tracer: "t".into(), snapshot, checkpoint: None }
    };
    let one = |number| [Routed { claim: None, rows: vec![numbered("t", number)].into(), bytes: 0 }];
    let other = scratch.open();
    let stored = || -> Option<i64> {
        let sql = "SELECT max(stored) FROM duetector_actors_account";
        scratch.open().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    // A table that is missing makes the transaction fail at its end.
    other.execute_batch("ALTER TABLE duetector_actors_account RENAME TO away").unwrap();
    let failed = writer.write(&one(1), &[account(2)], &now);
    assert!(matches!(failed, Err(Error::Sqlite(_))), "{failed:?}");
    other.execute_batch("ALTER TABLE away RENAME TO duetector_actors_account").unwrap();
    assert_eq!((numbers(&scratch.rows("t")), stored()), (vec![0], None));
    writer.write(&one(1), &[account(2)], &now).unwrap();
    assert_eq!((numbers(&scratch.rows("t")), stored()), (vec![0, 1], Some(2)));
}

#[test]
fn a_read_transaction_sees_one_moment_and_only_the_times_asked_for() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    scratch.open().pragma_update(None, "journal_mode", "WAL").unwrap();
    (0..3).for_each(|part| {
        write(&mut writer, (part * 1000..(part + 1) * 1000).map(|number| numbered("t", number)).collect());
    });
    let (reader, connection) = (Reader::default(), scratch.open());
    let snapshot = connection.unchecked_transaction().unwrap();
    let stream = reader.streams(&snapshot).unwrap()[0].id;
    let totals = |connection: &Connection| reader.totals(connection, stream).unwrap().unwrap().rows;
    assert_eq!(totals(&snapshot), 3000);
    write(&mut writer, vec![numbered("t", 3000)]);
    assert_eq!(totals(&snapshot), 3000);
    let some = reader.batches(&snapshot, stream, 1500, 1999).unwrap();
    assert_eq!(some.iter().map(|batch| (batch.first, batch.last)).collect::<Vec<_>>(), [(1000, 1999)]);
    let rows = reader.rows(&snapshot, &some[0], |name| name == "number").unwrap();
    assert_eq!(rows.extended(999), Map::from_iter([("number".to_owned(), json!(1999))]));
    drop(snapshot);
    assert_eq!(totals(&connection), 3001);
}

#[test]
fn other_files_and_later_formats_are_refused() {
    let refusal = |change: &str| {
        let scratch = Scratch::new();
        write(&mut scratch.writer(), vec![numbered("t", 0)]);
        scratch.open().execute_batch(change).unwrap();
        Writer::begin(open(&scratch.path()), &run(), None).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refusal("SELECT 1"), Ok(()));
    assert_eq!(refusal("ANALYZE"), Ok(()), "SQLite's own tables are allowed");
    let move_away = "move the file away, then a new one is made";
    let later = "it was made by a later version of duetector-actors (format 3, this version knows 2): use that version, or";
    assert_eq!(refusal("PRAGMA user_version = 3"), Err(format!("{later} {move_away}")));
    let cases = [
        ("PRAGMA application_id = 0", "it is a database of another program"),
        (
            "CREATE TRIGGER x AFTER INSERT ON batch BEGIN DELETE FROM batch; END",
            "its trigger \"x\" is not as we made it",
        ),
        (
            "PRAGMA foreign_keys = 0; DROP TABLE layout; CREATE VIEW layout AS SELECT 1",
            "its view \"layout\" is not as we made it",
        ),
        ("ALTER TABLE batch ADD COLUMN more", "its table \"batch\" is not as we made it"),
        ("DROP INDEX batch_stream", "it lacks \"batch_stream\""),
    ];
    for (change, expected) in cases {
        assert_eq!(refusal(change), Err(format!("{expected}: {move_away}")), "{change}");
    }
}

#[test]
fn a_damaged_batch_is_an_error_with_its_number() {
    let scratch = Scratch::new();
    write(&mut scratch.writer(), vec![numbered("t", 0)]);
    let connection = scratch.open();
    let reader = Reader::default();
    let batch = reader.batches(&connection, 1, i64::MIN, i64::MAX).unwrap()[0].clone();
    for damage in ["substr(data, 1, 100)", "zeroblob(length(data))", "x''"] {
        connection.execute_batch(&format!("SAVEPOINT whole; UPDATE batch SET data = {damage}")).unwrap();
        let error = reader.rows(&connection, &batch, |_| true).map(drop).unwrap_err();
        assert_eq!(error.to_string(), "decode batch 1", "{damage}");
        connection.execute_batch("ROLLBACK TO whole; RELEASE whole").unwrap();
    }
    assert_eq!(reader.rows(&connection, &batch, |_| true).unwrap().len(), 1);
}

/// Writes a row of each of two tracers in one transaction.
fn write_both(writer: &mut Writer, number: i64) {
    write(writer, vec![numbered("t", number), numbered("u", number)]);
}

#[test]
fn a_damaged_batch_at_the_end_stays_and_the_rows_that_follow_are_written() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    (0..3).for_each(|number| write_both(&mut writer, number));
    let damage = "UPDATE batch SET data = substr(data, 1, 100) WHERE stream = 1";
    scratch.open().execute_batch(damage).unwrap();
    (3..9).for_each(|number| write_both(&mut writer, number));
    write_both(&mut scratch.writer(), 9);
    assert_eq!(numbers(&scratch.rows("u")), (0..10).collect::<Vec<_>>());
    let connection = scratch.open();
    let (mut read, reader) = (Vec::new(), Reader::default());
    for batch in reader.batches(&connection, 1, i64::MIN, i64::MAX).unwrap() {
        if let Ok(rows) = reader.rows(&connection, &batch, |_| true) {
            read.extend((0..rows.len()).map(|row| rows.tracking(&"t".into(), row)));
        }
    }
    assert_eq!(numbers(&read), (3..10).collect::<Vec<_>>());
}

#[test]
fn a_damaged_layout_stays_and_the_rows_that_follow_get_another() {
    let scratch = Scratch::new();
    write_both(&mut scratch.writer(), 0);
    scratch.open().execute_batch("UPDATE layout SET schema = x'00' WHERE tracer = 't'").unwrap();
    write_both(&mut scratch.writer(), 1);
    assert_eq!(numbers(&scratch.rows("u")), [0, 1]);
    let connection = scratch.open();
    let batch = Reader::default().batches(&connection, 1, i64::MIN, i64::MAX).unwrap()[1].clone();
    assert_eq!(Reader::default().rows(&connection, &batch, |_| true).unwrap().len(), 1);
}

#[test]
fn batches_that_another_program_deletes_or_adds_are_noticed() {
    let scratch = Scratch::new();
    let (mut one, mut other) = (scratch.writer(), scratch.writer());
    for number in 0..8 {
        write(if number % 2 == 0 { &mut one } else { &mut other }, vec![numbered("t", number)]);
    }
    assert_eq!(numbers(&scratch.rows("t")), (0..8).collect::<Vec<_>>());
    scratch.open().execute_batch("DELETE FROM batch").unwrap();
    write(&mut one, vec![numbered("t", 8)]);
    assert_eq!(numbers(&scratch.rows("t")), [8]);
}

#[test]
fn tracers_that_are_stored_under_one_name_are_numbered_together() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    (0..5).for_each(|number| {
        write(&mut writer, vec![numbered("Log", number * 2), numbered("log", number * 2 + 1)]);
    });
    assert_eq!(numbers(&scratch.rows("log")), (0..10).collect::<Vec<_>>());
    let ends = batches(&scratch.open())
        .into_iter()
        .try_fold(1, |next, (first, rows)| (first == next).then_some(first + rows));
    assert_eq!(ends, Some(11));
}

#[test]
fn batches_that_are_large_in_memory_are_left_alone() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let text = "x".repeat(1 << 20);
    for number in 0..4 {
        let rows = (number * 9..(number + 1) * 9).map(|number| {
            let fields = [("number".to_owned(), json!(number)), ("text".to_owned(), json!(text))];
            row("t", number, Map::from_iter(fields))
        });
        write(&mut writer, rows.collect());
    }
    assert_eq!(batches(&scratch.open()), [(1, 9), (10, 9), (19, 9), (28, 9)]);
    assert_eq!(numbers(&scratch.rows("t")), (0..36).collect::<Vec<_>>());
}

/// Sizes in a message are believed by Arrow's reader, which takes as much memory as they say.
#[test]
fn no_flipped_bit_of_a_batch_ends_the_process() {
    let scratch = Scratch::new();
    let fields = |number: i64| {
        let texts = json!(["a".repeat(50), number.to_string()]);
        Map::from_iter([("number".to_owned(), json!(number)), ("texts".to_owned(), texts)])
    };
    write(&mut scratch.writer(), (0..100).map(|number| row("t", number, fields(number))).collect());
    let connection = scratch.open();
    let batch = Reader::default().batches(&connection, 1, i64::MIN, i64::MAX).unwrap()[0].clone();
    for (table, column) in [("batch", "data"), ("layout", "schema")] {
        let whole: Vec<u8> =
            connection.query_row(&format!("SELECT {column} FROM {table}"), [], |row| row.get(0)).unwrap();
        let set = |value: &[u8]| {
            connection.execute(&format!("UPDATE {table} SET {column} = ?"), [value]).unwrap();
        };
        for bit in (0..whole.len() * 8).step_by(3) {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            set(&damaged);
            if let Ok(rows) = Reader::default().rows(&connection, &batch, |_| true) {
                (0..rows.len()).for_each(|row| drop(rows.tracking(&"t".into(), row)));
            }
        }
        set(&whole);
    }
}
