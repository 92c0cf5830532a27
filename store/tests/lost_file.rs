//! A store whose file is lost: a new file goes on with the segments that are as they were written, and leaves others alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Scratch, moment, numbered, numbers, open, run, write};
use model::schema::stored_name;
use rusqlite::Connection;
use store::Writer;
use store::bookkeeping::Run;
use store::segment::{Adopted, Found, Limits, MANIFEST, Sealer, list, strangers};

const SECOND: i64 = 1_000_000_000;

/// Removes the store's file.
fn lose(scratch: &Scratch) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(format!("{}{suffix}", scratch.path().display()));
    }
    assert!(!scratch.path().exists());
}

/// Begins a later run, in a new file if there is none.
fn later(scratch: &Scratch) -> Writer {
    let run = Run { run_id: "r2".into(), ..run() };
    Writer::begin(scratch.open(), &run, None).unwrap().0
}

fn adopt(scratch: &Scratch) -> Adopted {
    Sealer::new(&mut scratch.open(), moment(90 * SECOND)).unwrap().adopt().unwrap()
}

/// Makes a store with so many segments of `t` and `open`, each of two rows, and one row of `t` that is not sealed.
fn with_segments(count: i64) -> Scratch {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    for number in 0..count {
        write(&mut writer, vec![numbered("t", number * SECOND), numbered("open", number * SECOND)]);
        scratch.seal();
    }
    write(&mut writer, vec![numbered("t", count * SECOND)]);
    scratch
}

/// Returns the folders of all segments, in the order in which they were sealed.
fn folders(scratch: &Scratch) -> Vec<PathBuf> {
    let names = list(&scratch.open()).unwrap().into_iter().map(|segment| segment.name);
    let mut names: Vec<String> = names.collect();
    names.sort_by_key(|name| name.rsplit_once('-').unwrap().1.parse::<u32>().unwrap());
    names.into_iter().map(|name| scratch.folder().join("segments").join(name)).collect()
}

/// Copies a segment's folder to the segments of another store; returns the copy.
fn copy_into(segment: &Path, scratch: &Scratch) -> PathBuf {
    let copy = scratch.folder().join("segments").join(segment.file_name().unwrap());
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&copy).unwrap();
    for entry in fs::read_dir(segment).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

/// Returns the tracer, the cause and the number of each loss.
fn losses(scratch: &Scratch) -> Vec<(String, String, Option<i64>)> {
    let text = |row: &model::Tracking, name: &str| row.extended.get(name).unwrap().to_plain().to_string();
    let rows = scratch.rows("loss");
    rows.iter().map(|row| (text(row, "lost_tracer"), text(row, "cause"), row.count)).collect()
}

#[test]
fn a_new_file_goes_on_with_all_segments_and_each_row_is_there_once() {
    // More than are merged into one; and some more.
    let scratch = with_segments(27);
    let mut connection = scratch.open();
    let mut sealer = Sealer::new(&mut connection, moment(30 * SECOND)).unwrap();
    let limits = Limits {
        max_size: u64::MAX,
        max_age: Some(Duration::from_secs(28)),
        min_free: 0,
        min_keep: Duration::ZERO,
    };
    assert_eq!(sealer.prune(&limits).unwrap().removed.len(), 2);
    sealer.merge().unwrap().unwrap();
    drop(sealer);
    drop(connection);
    let mut before = numbers(&scratch.rows("t"));
    let lost = before.pop().unwrap();
    assert_eq!((before.len(), lost), (25, 27 * SECOND));
    let names: Vec<_> = folders(&scratch);
    lose(&scratch);

    let mut writer = later(&scratch);
    write(&mut writer, vec![numbered("t", 100 * SECOND)]);
    // Before the segments are checked there is nothing wrong, and nothing is read twice.
    assert_eq!(numbers(&scratch.rows("t")), [100 * SECOND]);
    assert!(store::segment::has_unfinished(&scratch.open()).unwrap());
    let adopted = adopt(&scratch);
    assert_eq!(adopted.refused, []);
    // The rows about the two that were removed were not sealed.
    assert_eq!(adopted.rows as usize, before.len() * 2);
    before.push(100 * SECOND);
    assert_eq!(numbers(&scratch.rows("t")), before);
    assert_eq!(folders(&scratch), names);
    assert!(!store::segment::has_unfinished(&scratch.open()).unwrap());
    assert_eq!(adopt(&scratch), Adopted::default());
    // Once more: rows of both runs are sealed, removed, and the file is lost again.
    scratch.seal();
    assert_eq!(scratch.findings(), Vec::<String>::new());
    lose(&scratch);
    drop(later(&scratch));
    assert_eq!(adopt(&scratch).refused, []);
    assert_eq!(numbers(&scratch.rows("t")), before);
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn what_was_not_sealed_is_reported_with_the_time_from_which_on_rows_are_missing() {
    let scratch = with_segments(2);
    lose(&scratch);
    drop(later(&scratch));
    adopt(&scratch);
    let cause = "the store's file was lost, with the rows that were not sealed".to_owned();
    let expected = ["open", "t"].map(|tracer| (tracer.to_owned(), cause.clone(), None));
    assert_eq!(losses(&scratch), expected);
    let from = scratch.rows("loss")[0].extended.get("from_time").unwrap().to_plain().to_string();
    assert!(from.starts_with("1970-01-01T00:00:01"), "{from}");
    let accounts: Vec<String> = scratch
        .open()
        .prepare("SELECT run_id || ' ' || collector_id FROM duetector_actors_run ORDER BY rowid")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    // The run before wrote no accounts.
    assert_eq!(accounts, ["r2 vm"]);
}

#[test]
fn the_same_run_knows_which_of_its_rows_are_sealed() {
    let scratch = with_segments(3);
    lose(&scratch);
    let found = Found::beside(&scratch.path(), Some("r1")).unwrap();
    let rows = |from| found.rows("t", "vm", from);
    assert_eq!([rows(1), rows(2), rows(3), rows(4)], [3, 2, 1, 0]);
    assert_eq!((found.rows("t", "other", 1), found.rows("exec", "vm", 1)), (0, 0));
    Writer::begin(scratch.open(), &run(), Some("r1")).unwrap();
    adopt(&scratch);
    // The sink counts what was not sealed.
    assert_eq!(losses(&scratch), []);
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn segments_that_are_not_as_they_were_written_are_left_alone() {
    let scratch = with_segments(6);
    let folders = folders(&scratch);
    lose(&scratch);
    // A flipped bit, a file that is missing, a manifest that was altered, and one of another segment.
    let file = folders[0].join("t.parquet");
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    fs::remove_file(folders[2].join("open.parquet")).unwrap();
    let manifest = folders[1].join(MANIFEST);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"rows\": 1,", "\"rows\": 2,")).unwrap();
    fs::copy(folders[4].join(MANIFEST), folders[3].join(MANIFEST)).unwrap();
    let mut writer = later(&scratch);
    write(&mut writer, vec![numbered("t", 100 * SECOND)]);
    let adopted = adopt(&scratch);
    let refused: Vec<&str> = adopted.refused.iter().map(|(_, why)| why.as_str()).collect();
    assert!(refused[0].contains("t.parquet: its hash is not"), "{refused:?}");
    assert!(refused[1].contains("open.parquet: ") && refused.len() == 2, "{refused:?}");
    assert_eq!(numbers(&scratch.rows("t")), [4, 5, 100].map(|second| second * SECOND));
    // Those that were on the list count as lost; nobody knows what was in the others.
    let counted: i64 = losses(&scratch).iter().filter_map(|(.., count)| *count).sum();
    assert_eq!(counted, 4);
    let name = |folder: &PathBuf| folder.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(strangers(&scratch.open()).unwrap(), folders[..4].iter().map(name).collect::<Vec<_>>());
    let findings = scratch.findings();
    for folder in &folders[..4] {
        assert!(findings.iter().any(|finding| finding.contains(&name(folder))), "{findings:?}");
        assert!(folder.join("t.parquet").exists());
    }
    // The store goes on, under names that no other segment has.
    scratch.seal();
    assert_eq!(numbers(&scratch.rows("t")).len(), 3);
    assert_eq!(strangers(&scratch.open()).unwrap().len(), 4);
}

#[test]
fn segments_of_another_store_are_not_mixed_with_its_own() {
    let (scratch, other) = (with_segments(2), with_segments(1));
    // Another store's file takes the place of this one's.
    other.open().execute("UPDATE duetector_actors_store SET id = 'other'", []).unwrap();
    let names: Vec<_> = folders(&scratch);
    lose(&scratch);
    fs::copy(other.path(), scratch.path()).unwrap();
    let mut writer = later(&scratch);
    write(&mut writer, vec![numbered("exec", 7)]);
    assert_eq!(adopt(&scratch), Adopted::default());
    assert_eq!(scratch.rows("exec").len(), 1);
    let strange = strangers(&scratch.open()).unwrap();
    assert!(names.iter().any(|path| path.ends_with(&strange[0])), "{strange:?}");
    // And a segment of another store lies in the folder of a lost one.
    let scratch = with_segments(2);
    let third = with_segments(5);
    third.open().execute("UPDATE duetector_actors_store SET id = 'third'", []).unwrap();
    third.seal();
    let foreign = folders(&third).pop().unwrap();
    copy_into(&foreign, &scratch);
    lose(&scratch);
    drop(Writer::begin(scratch.open(), &run(), Some("r1")).unwrap());
    assert_eq!(adopt(&scratch).segments.len(), 2);
    assert_eq!(strangers(&scratch.open()).unwrap().len(), 1);
    assert_eq!(numbers(&scratch.rows("t")), [0, SECOND]);
}

#[test]
fn a_folder_with_the_next_name_is_left_alone_and_does_not_keep_a_store_from_sealing() {
    // Both stores began in the same second: their first segments would have the same name.
    let (scratch, other) = (with_segments(0), with_segments(0));
    other.open().execute("UPDATE duetector_actors_store SET id = 'other'", []).unwrap();
    let foreign = other.seal_one();
    copy_into(&foreign, &scratch);
    let made = scratch.seal_one();
    assert_eq!(made.file_name().unwrap(), "19700101T000000Z-2");
    assert_eq!(numbers(&scratch.rows("t")), [0]);
    assert_eq!(strangers(&scratch.open()).unwrap(), ["19700101T000000Z-1"]);

    // The folder comes while a segment of that name is being written.
    let scratch = with_segments(0);
    let mut connection = scratch.open();
    let interrupt =
        "CREATE TEMP TRIGGER stop BEFORE INSERT ON main.part BEGIN SELECT raise(ABORT, 'interrupted'); END";
    connection.execute_batch(interrupt).unwrap();
    assert!(Sealer::new(&mut connection, moment(0)).unwrap().seal(u64::MAX).is_err());
    let copy = copy_into(&foreign, &scratch);
    let sealed = Sealer::new(&mut scratch.open(), moment(0)).unwrap().recover().unwrap().unwrap();
    assert_eq!((sealed.name.as_str(), sealed.rows), ("19700101T000000Z-2", 1));
    assert!(copy.join("t.parquet").exists());

    // A store that comes back from a backup seals its row again.
    let scratch = with_segments(0);
    scratch.open().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let backup = fs::read(scratch.path()).unwrap();
    let sealed = scratch.seal_one();
    lose(&scratch);
    fs::write(scratch.path(), backup).unwrap();
    assert_eq!(scratch.seal_one().file_name().unwrap(), "19700101T000000Z-2");
    assert!(sealed.join("t.parquet").exists());
    assert_eq!(numbers(&scratch.rows("t")), [0]);
}

#[test]
fn an_import_into_a_new_file_goes_on_with_segments_too() {
    let scratch = with_segments(2);
    lose(&scratch);
    store::import::prepare(&scratch.open()).unwrap();
    assert_eq!(adopt(&scratch).segments.len(), 2);
    assert_eq!(numbers(&scratch.rows("t")), [0, SECOND]);
    drop(later(&scratch));
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn tracers_with_strange_names_have_files_and_are_found_again() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let (long, longer) = ("n".repeat(255), "n".repeat(254));
    let names = ["..", ".", "a/b", "a_b", "-x", "", " ", "new\nline", "ü😀", "*?[", "\"'\\", "segment.json"];
    let names: Vec<&str> = names.into_iter().chain([long.as_str(), longer.as_str()]).collect();
    for (number, name) in names.iter().enumerate() {
        write(&mut writer, vec![numbered(name, number as i64)]);
    }
    // They are one for duetector, and for the store.
    write(&mut writer, vec![numbered("case", 50), numbered("Case", 51), numbered("CASE", 52)]);
    scratch.seal();
    let check = |scratch: &Scratch| {
        for (number, name) in names.iter().enumerate() {
            assert_eq!(numbers(&scratch.rows(&stored_name(name))), [number as i64], "{name:?}");
        }
        assert_eq!(numbers(&scratch.rows("case")), [50, 51, 52]);
        assert_eq!(scratch.findings(), Vec::<String>::new());
    };
    check(&scratch);
    let files = fs::read_dir(&folders(&scratch)[0]).unwrap();
    for name in files.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let is_plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
        assert!(name.chars().all(is_plain) && !name.starts_with(['.', '-']), "{name:?}");
    }
    lose(&scratch);
    drop(later(&scratch));
    assert_eq!(adopt(&scratch).refused, []);
    check(&scratch);
}

#[test]
fn a_process_whose_file_was_replaced_makes_no_segment() {
    let scratch = with_segments(1);
    let mut connection: Connection = open(&scratch.path());
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    let mut sealer = Sealer::new(&mut connection, moment(0)).unwrap();
    lose(&scratch);
    drop(later(&scratch));
    let error = sealer.seal(u64::MAX).unwrap_err();
    assert!(
        std::error::Error::source(&error).unwrap().to_string().contains("replaced meanwhile"),
        "{error:?}"
    );
    drop(sealer);
    assert_eq!(strangers(&scratch.open()).unwrap().len(), 0);
}
