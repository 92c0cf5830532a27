//! Sealing, merging and removing that are interrupted at each of their steps, rows out of order, and files that are not what
//! they should be.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{Scratch, moment, numbered, numbers, row, write};
use rusqlite::Connection;
use serde_json::Map;
use store::segment::{Folder, Limits, Room, Sealer, list, unsealed};

const SECOND: i64 = 1_000_000_000;
const NO_LIMITS: Limits = Limits { max_size: u64::MAX, max_age: None, min_free: 0, min_keep: Duration::ZERO };

/// Fails the statement that a process which seals is to be interrupted at, for this connection only.
fn fail_at(connection: &Connection, event: &str) {
    let sql =
        format!("CREATE TEMP TRIGGER stop BEFORE {event} BEGIN SELECT raise(ABORT, 'interrupted'); END");
    connection.execute_batch(&sql).unwrap();
}

/// Returns the names of what is in the folder of the segments and not hidden.
fn folders(scratch: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(scratch.folder().join("segments")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Seals one row after the other, each a segment, at the times 1 s, 2 s, and so on.
fn seconds(scratch: &Scratch, count: i64) {
    let mut writer = scratch.writer();
    for second in 1..=count {
        write(&mut writer, vec![numbered("t", second * SECOND)]);
        scratch.seal();
    }
}

#[test]
fn sealing_that_is_interrupted_at_any_statement_is_completed() {
    let events = [
        "INSERT ON main.segment",
        "UPDATE ON main.segment",
        "INSERT ON main.part",
        "UPDATE ON main.segment WHEN new.state = 'sealed'",
        "UPDATE ON main.sealing WHEN new.sealed > old.sealed",
        "DELETE ON main.batch",
    ];
    for event in events {
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        for from in [0, 2000, 4000] {
            write(&mut writer, (from..from + 2000).map(|number| numbered("t", number)).collect());
        }
        let mut connection = scratch.open();
        fail_at(&connection, event);
        let mut sealer = Sealer::new(&mut connection, moment(0)).unwrap();
        assert!(sealer.seal(u64::MAX).is_err(), "{event}");
        drop(sealer);
        let all: Vec<i64> = (0..6000).collect();
        assert_eq!(numbers(&scratch.rows("t")), all, "{event}");
        // A disk that is full is not filled further by what could not be completed.
        let known = list(&scratch.open()).unwrap();
        let sealed = known.iter().filter(|segment| segment.state == "sealed").count();
        assert_eq!(folders(&scratch).len(), sealed, "{event}");
        write(&mut writer, vec![numbered("t", 6000)]);
        let mut other = scratch.open();
        let mut sealer = Sealer::new(&mut other, moment(0)).unwrap();
        sealer.recover().unwrap();
        while sealer.seal(u64::MAX).unwrap().is_some() {}
        drop(sealer);
        assert_eq!(unsealed(&scratch.open()).unwrap().rows, 0, "{event}");
        assert_eq!(numbers(&scratch.rows("t")), (0..=6000).collect::<Vec<_>>(), "{event}");
        assert_eq!(scratch.findings(), Vec::<String>::new(), "{event}");
    }
}

#[test]
fn merging_that_is_interrupted_is_done_again() {
    let events =
        ["INSERT ON main.part", "UPDATE ON main.segment WHEN new.state = 'merged'", "DELETE ON main.part"];
    for event in events {
        let scratch = Scratch::new();
        seconds(&scratch, 24);
        let before = numbers(&scratch.rows("t"));
        let mut connection = scratch.open();
        fail_at(&connection, event);
        assert!(Sealer::new(&mut connection, moment(0)).unwrap().merge().is_err(), "{event}");
        assert_eq!(numbers(&scratch.rows("t")), before, "{event}");
        let mut other = scratch.open();
        let mut sealer = Sealer::new(&mut other, moment(0)).unwrap();
        sealer.recover().unwrap();
        sealer.merge().unwrap();
        drop(sealer);
        assert_eq!(numbers(&scratch.rows("t")), before, "{event}");
        assert_eq!(scratch.findings(), Vec::<String>::new(), "{event}");
        assert_eq!(files(&scratch), 1, "{event}");
    }
}

/// Returns the number of files with rows in all segments' folders.
fn files(scratch: &Scratch) -> usize {
    let of = |name: &String| {
        let entries = fs::read_dir(scratch.folder().join("segments").join(name)).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name() != "segment.json").count()
    };
    folders(scratch).iter().map(of).sum()
}

#[test]
fn files_that_an_interrupted_removal_has_left_are_removed_by_the_next() {
    let scratch = Scratch::new();
    seconds(&scratch, 3);
    let limits = Limits { max_age: Some(Duration::from_secs(2)), ..NO_LIMITS };
    let mut connection = scratch.open();
    let mut sealer = Sealer::new(&mut connection, moment(4 * SECOND)).unwrap();
    let removed = scratch.folder().join("segments/.removed");
    fs::remove_dir(&removed).unwrap();
    fs::write(&removed, "").unwrap();
    sealer.prune(&limits).unwrap_err();
    assert_eq!((files(&scratch), scratch.rows("retention").len()), (3, 1));
    assert!(store::segment::has_unfinished(&scratch.open()).unwrap());
    fs::remove_file(&removed).unwrap();
    fs::create_dir(&removed).unwrap();
    assert_eq!(sealer.recover().unwrap(), None);
    assert_eq!((files(&scratch), scratch.rows("retention").len()), (2, 1));
    assert!(!store::segment::has_unfinished(&scratch.open()).unwrap());
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn rows_from_the_future_do_not_keep_those_after_them_from_being_sealed() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    // The clock was set forward by a year and back again; and times at both ends of what there is.
    for from in [365 * 86_400 * SECOND, 2000, i64::MAX - 3000, 4000, i64::MIN, 6000] {
        let rows = (0..2000).map(|number| row("t", from + number, Map::new()));
        write(&mut writer, rows.collect());
    }
    let mut connection = scratch.open();
    let mut sealer = Sealer::new(&mut connection, moment(7000)).unwrap();
    while unsealed(sealer.connection()).unwrap().rows > 0 {
        assert!(sealer.seal(1).unwrap().is_some(), "sealing makes no progress");
    }
    drop(sealer);
    assert_eq!(scratch.rows("t").len(), 12_000);
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn a_reader_who_never_ends_does_not_cost_segments() {
    let scratch = Scratch::new();
    seconds(&scratch, 24);
    let lock = Folder::beside(&scratch.path()).lock_for_reading().unwrap();
    let mut connection = scratch.open();
    let mut sealer = Sealer::new(&mut connection, moment(0)).unwrap();
    sealer.merge().unwrap().unwrap();
    let used = Room::of(sealer.connection()).unwrap().used();
    // Without the files that the reader keeps there is room.
    let pruned = sealer.prune(&Limits { max_size: used - 4096, ..NO_LIMITS }).unwrap();
    assert_eq!((pruned.removed.len(), pruned.short), (0, None));
    drop(lock);
    drop(sealer);
    assert_eq!(numbers(&scratch.rows("t")).len(), 24);
}

#[test]
fn a_reader_who_never_ends_does_not_keep_removed_files_for_ever() {
    use std::os::unix::ffi::OsStrExt as _;
    let scratch = Scratch::new();
    seconds(&scratch, 24);
    let removed = scratch.folder().join("segments/.removed");
    let lock = nix::fcntl::Flock::lock(
        fs::File::open(scratch.folder().join("segments/.readers")).unwrap(),
        nix::fcntl::FlockArg::LockExclusive,
    )
    .unwrap();
    // Nobody can lock for reading now; who reads does so without a lock.
    assert!(Folder::beside(&scratch.path()).lock_for_reading().is_none());
    // Whatever lies there, under whatever name.
    fs::write(removed.join(std::ffi::OsStr::from_bytes(b"not \xff UTF-8")), "x").unwrap();
    fs::create_dir_all(removed.join("a folder/in it")).unwrap();
    let left = || fs::read_dir(&removed).unwrap().count();
    let mut connection = scratch.open();
    let now = std::os::unix::fs::MetadataExt::ctime(&fs::metadata(&removed).unwrap());
    let mut sealer = Sealer::new(&mut connection, moment(now * SECOND)).unwrap();
    sealer.merge().unwrap().unwrap();
    sealer.prune(&NO_LIMITS).unwrap();
    assert_eq!(left(), 26);
    assert!(Folder::beside(&scratch.path()).kept_for_readers() > 24);
    drop(sealer);
    let mut sealer = Sealer::new(&mut connection, moment((now + 7 * 3600) * SECOND)).unwrap();
    sealer.prune(&NO_LIMITS).unwrap();
    assert_eq!((left(), Folder::beside(&scratch.path()).kept_for_readers()), (0, 0));
    drop(lock);
}

fn replace_by_a_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
}

#[test]
fn a_pipe_instead_of_a_file_keeps_nobody_waiting() {
    let scratch = Scratch::new();
    seconds(&scratch, 1);
    let folder = Folder::beside(&scratch.path()).segment(&folders(&scratch)[0]);
    replace_by_a_pipe(&folder.join("t.parquet"));
    let findings = scratch.findings();
    assert!(findings[0].contains("it is not a file"), "{findings:?}");
    let (reader, connection) = (store::Reader::default(), scratch.open());
    let stream = &reader.streams(&connection).unwrap()[0];
    let batch = &reader.batches(&connection, stream.id, i64::MIN, i64::MAX).unwrap()[0];
    reader.rows(&connection, batch, |_| true).unwrap_err();
    replace_by_a_pipe(&folder.join("segment.json"));
    let findings = scratch.findings();
    assert!(findings[0].contains("it is not a file"), "{findings:?}");
}

#[test]
fn segments_from_the_future_are_removed_in_order() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let day = 86_400 * SECOND;
    // The clock was set forward by a year for the second segment.
    for at in [day, 365 * day, 2 * day, 3 * day] {
        write(&mut writer, vec![numbered("t", at)]);
        scratch.seal();
    }
    let mut connection = scratch.open();
    let mut sealer = Sealer::new(&mut connection, moment(4 * day)).unwrap();
    let limits = Limits { max_age: Some(Duration::from_hours(36)), ..NO_LIMITS };
    assert_eq!(sealer.prune(&limits).unwrap().removed.len(), 3);
    drop(sealer);
    assert_eq!(numbers(&scratch.rows("t")), [3 * day]);
    // What is newest stays although the clock was set back.
    let mut sealer = Sealer::new(&mut connection, moment(2 * day)).unwrap();
    assert_eq!(sealer.prune(&limits).unwrap().removed.len(), 0);
}
