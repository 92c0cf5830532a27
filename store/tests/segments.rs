//! Segments: sealing changes no row, whatever happens meanwhile; damage is found; what is removed is noted.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Scratch, moment, numbered, numbers, row, write};
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;
use store::segment::{Folder, Limits, Manifest, Sealer, list, unsealed};

/// An event in the life of a store.
#[derive(Clone, Debug)]
enum Step {
    /// Rows of a tracer are written, at times from this one on.
    Write { tracer: usize, rows: i64, from: i64 },
    /// The writer begins anew.
    Restart,
    /// Some rows are sealed.
    Seal { size: u64 },
    /// Segments are merged, if there are enough.
    Merge,
}

const TRACERS: [&str; 3] = ["t", "open", "loss"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 1_i64..1500, 0_i64..4000)
            .prop_map(|(tracer, rows, from)| Step::Write { tracer, rows, from }),
        1 => Just(Step::Restart),
        3 => prop::sample::select(vec![1, 10_000, u64::MAX]).prop_map(|size| Step::Seal { size }),
        1 => Just(Step::Merge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Rows of any times are written, sealed and merged in any order: each is there once, and nothing is found wrong.
    #[test]
    fn each_row_is_there_once(steps in vec(step(), 1..40)) {
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        let mut sent = [0; TRACERS.len()];
        for step in steps {
            match step {
                Step::Write { tracer, rows, from } => {
                    let numbers = sent[tracer]..sent[tracer] + rows;
                    sent[tracer] += rows;
                    let rows = numbers.map(|number| {
                        let mut row = numbered(TRACERS[tracer], number);
                        row.time.as_mut().unwrap().utc_ns = from + number % 7;
                        row
                    });
                    write(&mut writer, rows.collect());
                }
                Step::Restart => writer = scratch.writer(),
                Step::Seal { size } => {
                    let mut connection = scratch.open();
                    Sealer::new(&mut connection, moment(0)).unwrap().seal(size).unwrap();
                }
                Step::Merge => {
                    let mut connection = scratch.open();
                    Sealer::new(&mut connection, moment(0)).unwrap().merge().unwrap();
                }
            }
        }
        for (tracer, sent) in TRACERS.iter().zip(sent) {
            prop_assert_eq!(numbers(&scratch.rows(tracer)), (0..sent).collect::<Vec<_>>());
        }
        prop_assert_eq!(scratch.findings(), Vec::<String>::new());
    }
}

/// Makes a store with a segment of two tracers, one with a batch that is not sealed, too.
fn sealed() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    for tracer in ["open", "t"] {
        write(&mut writer, (0..5000).map(|number| numbered(tracer, number)).collect());
    }
    scratch.seal();
    write(&mut writer, vec![numbered("t", 5000)]);
    let name = list(&scratch.open()).unwrap()[0].name.clone();
    let folder = Folder::beside(&scratch.path()).segment(&name);
    (scratch, folder)
}

#[test]
fn a_segment_is_a_folder_of_parquet_files_and_a_manifest() {
    let (scratch, folder) = sealed();
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["open.parquet", "segment.json", "t.parquet"]);
    let (manifest, _) = Manifest::read(&folder).unwrap();
    assert_eq!((manifest.rows, manifest.files.len(), manifest.previous), (10_000, 2, None));
    assert_eq!(manifest.first, "1970-01-01T00:00:00Z");
    let open = &manifest.files[0];
    assert_eq!((open.tracer.as_str(), open.rows, open.first_id, open.last_id), ("open", 5000, 1, 5000));
    assert!(folder.file_name().unwrap().to_str().unwrap().starts_with("19700101T000000Z-"));
    let left = unsealed(&scratch.open()).unwrap();
    assert_eq!((left.rows, left.first), (1, Some(5000)));
    assert_eq!(numbers(&scratch.rows("t")), (0..=5000).collect::<Vec<_>>());
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn a_manifest_names_the_one_before_it() {
    let (scratch, first) = sealed();
    scratch.seal();
    let names: Vec<String> = list(&scratch.open()).unwrap().into_iter().map(|segment| segment.name).collect();
    let (manifest, _) = Manifest::read(&Folder::beside(&scratch.path()).segment(&names[1])).unwrap();
    let (_, hash) = Manifest::read(&first).unwrap();
    let previous = manifest.previous.unwrap();
    assert_eq!((previous.name, previous.sha256), (names[0].clone(), hash));
}

fn flip(path: &Path, at: usize) {
    let mut data = fs::read(path).unwrap();
    data[at] ^= 0x10;
    fs::write(path, data).unwrap();
}

#[test]
fn what_was_altered_is_found() {
    let rewrite = |folder: &Path, from: &str, to: &str| {
        let path = folder.join("segment.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    type Harm<'a> = Box<dyn Fn(&Path) + 'a>;
    let cases: [(Harm<'_>, &str); 8] = [
        (Box::new(|it| flip(&it.join("t.parquet"), 1000)), "t.parquet was altered"),
        (
            Box::new(|it| {
                fs::OpenOptions::new().write(true).open(it.join("t.parquet")).unwrap().set_len(900).unwrap()
            }),
            "t.parquet has 900 bytes and not",
        ),
        (Box::new(|it| fs::remove_file(it.join("open.parquet")).unwrap()), "open.parquet is missing"),
        (Box::new(|it| fs::remove_dir_all(it).unwrap()), "its segment.json is missing"),
        (Box::new(|it| rewrite(it, "\"rows\": 5000", "\"rows\": 4999")), "was altered"),
        (Box::new(|it| rewrite(it, "\"format\": 2", "\"format\": 3")), "which a later version wrote"),
        (Box::new(|it| rewrite(it, "\"store\": \"r1", "\"store\": \"r2")), "is that of another store"),
        (
            Box::new(|it| {
                let copy = it.with_file_name("19700101T000000Z-7");
                fs::create_dir(&copy).unwrap();
                fs::copy(it.join("segment.json"), copy.join("segment.json")).unwrap();
            }),
            "the store does not know it",
        ),
    ];
    for (harm, expected) in cases {
        let (scratch, folder) = sealed();
        harm(&folder);
        let findings = scratch.findings();
        assert!(findings.iter().any(|finding| finding.contains(expected)), "{expected}: {findings:?}");
    }
}

#[test]
fn a_damaged_batch_is_kept_and_counted_when_the_others_are_sealed() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    for from in [0, 2000, 4000] {
        write(&mut writer, (from..from + 2000).map(|number| numbered("t", number)).collect());
    }
    let connection = scratch.open();
    connection
        .execute("UPDATE batch SET data = CAST(substr(data, 1, 600) || x'ff' || substr(data, 602) AS BLOB) WHERE first_id = 2001", [])
        .unwrap();
    let finding = &scratch.findings()[0];
    assert!(finding.starts_with("batch 2 of t: "), "{finding}");
    let mut other = scratch.open();
    let sealed = Sealer::new(&mut other, moment(9)).unwrap().seal(u64::MAX).unwrap().unwrap();
    assert_eq!((sealed.rows, sealed.damaged[0].rows), (4000, 2000));
    let folder = Folder::beside(&scratch.path()).segment(&sealed.name);
    assert!(folder.join(&sealed.damaged[0].file).metadata().unwrap().len() > 600);
    let loss = &scratch.rows("loss")[0];
    assert_eq!(loss.count, Some(2000));
    assert_eq!(loss.extended.get("lost_tracer").unwrap().to_plain(), "t");
    // All numbers are accounted for, and those that follow are not used twice.
    write(&mut writer, vec![numbered("t", 6000)]);
    assert_eq!(scratch.findings(), Vec::<String>::new());
    let numbers = numbers(&scratch.rows("t"));
    assert_eq!((numbers.len(), numbers.last()), (4001, Some(&6000)));
}

/// Seals one row after the other, each a segment, at the times 1 s, 2 s, and so on.
fn seconds(scratch: &Scratch, count: i64) {
    let mut writer = scratch.writer();
    for second in 1..=count {
        write(&mut writer, vec![numbered("t", second * 1_000_000_000)]);
        scratch.seal();
    }
}

fn states(connection: &Connection) -> Vec<String> {
    list(connection).unwrap().into_iter().map(|segment| segment.state).collect()
}

const EVERYTHING: Limits =
    Limits { max_size: u64::MAX, max_age: None, min_free: 0, min_keep: Duration::ZERO };

#[test]
fn old_segments_are_removed_and_noted() {
    let scratch = Scratch::new();
    seconds(&scratch, 5);
    let limits = Limits { max_age: Some(Duration::from_secs(3)), ..EVERYTHING };
    let mut connection = scratch.open();
    let pruned = Sealer::new(&mut connection, moment(6_000_000_000)).unwrap().prune(&limits).unwrap();
    assert_eq!((pruned.removed.len(), pruned.short), (2, None));
    assert_eq!(states(&scratch.open()), ["pruned", "pruned", "sealed", "sealed", "sealed"]);
    let noted = scratch.rows("retention");
    let text = |index: usize, field| noted[index].extended.get(field).unwrap().to_plain().to_string();
    assert_eq!((noted.len(), noted[1].count), (2, Some(1)));
    assert_eq!(text(1, "segment"), pruned.removed[1].name);
    assert_eq!(text(1, "from_time"), "1970-01-01T00:00:02.000000000+00:00");
    assert_eq!(numbers(&scratch.rows("t")).len(), 3);
    // The manifests of what is gone are still there, so that it is told from what is missing.
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn the_newest_segments_are_kept_whatever_the_limits() {
    let scratch = Scratch::new();
    seconds(&scratch, 5);
    let mut connection = scratch.open();
    let mut sealer = Sealer::new(&mut connection, moment(6_000_000_000)).unwrap();
    let limits =
        Limits { max_size: 1 << 20, min_free: u64::MAX, min_keep: Duration::from_secs(3), ..EVERYTHING };
    let pruned = sealer.prune(&limits).unwrap();
    assert_eq!(pruned.removed.len(), 3, "{pruned:?}");
    assert!(pruned.short.unwrap().contains("store.min_free"));
    // More than a quarter of the store is not kept for its age.
    let limits = Limits { max_size: 4096, min_keep: Duration::from_secs(30), ..EVERYTHING };
    let pruned = sealer.prune(&limits).unwrap();
    assert!(!pruned.removed.is_empty(), "{pruned:?}");
    assert!(pruned.short.unwrap().contains("store.max_size"));
}

#[test]
fn a_day_of_small_segments_becomes_one() {
    let scratch = Scratch::new();
    seconds(&scratch, 23);
    let mut connection = scratch.open();
    let mut sealer = Sealer::new(&mut connection, moment(0)).unwrap();
    assert_eq!(sealer.merge().unwrap(), None);
    drop(sealer);
    seconds(&scratch, 1);
    let before = numbers(&scratch.rows("t"));
    let mut sealer = Sealer::new(&mut connection, moment(0)).unwrap();
    let merged = sealer.merge().unwrap().unwrap();
    assert_eq!(merged.rows, 24);
    assert_eq!(numbers(&scratch.rows("t")), before);
    let states = states(&scratch.open());
    assert_eq!(states.iter().filter(|state| *state == "merged").count(), 24);
    let (manifest, _) = Manifest::read(&Folder::beside(&scratch.path()).segment(&merged.name)).unwrap();
    assert_eq!(manifest.replaces.len(), 24);
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn readers_keep_the_files_that_are_removed() {
    let (scratch, _) = sealed();
    let snapshot = scratch.open();
    snapshot.pragma_update(None, "journal_mode", "WAL").unwrap();
    snapshot.execute_batch("BEGIN").unwrap();
    let reader = store::Reader::default();
    let streams = reader.streams(&snapshot).unwrap();
    let batches = reader.batches(&snapshot, streams[0].id, i64::MIN, i64::MAX).unwrap();
    let lock = Folder::of(&snapshot).lock_for_reading().unwrap();
    let mut connection = scratch.open();
    let limits = Limits { max_age: Some(Duration::ZERO), ..EVERYTHING };
    let mut sealer = Sealer::new(&mut connection, moment(9_000_000_000)).unwrap();
    assert_eq!(sealer.prune(&limits).unwrap().removed.len(), 1);
    assert_eq!(reader.rows(&snapshot, &batches[0], |_| true).unwrap().len(), 5000);
    drop(lock);
    assert_eq!(sealer.prune(&limits).unwrap().removed.len(), 0);
    let error = reader.rows(&snapshot, &batches[0], |_| true).unwrap_err();
    assert!(error.to_string().contains("open.parquet"), "{error}");
}

#[test]
fn columns_that_no_row_has_take_no_room() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let fields = |text: &str| serde_json::from_str(text).unwrap();
    let rows = [r#"{"ino": 7}"#, "{}", r#"{"flags": [], "mode": null}"#, r#"{"size": "not a number"}"#];
    write(&mut writer, rows.iter().map(|text| row("open", 1, fields(text))).collect());
    drop(writer);
    let before = scratch.rows("open");
    let segment = scratch.seal_one();
    assert_eq!(format!("{:?}", scratch.rows("open")), format!("{before:?}"));
    let file = segment.join("open.parquet");
    let size = fs::metadata(&file).unwrap().len();
    assert!(size < 6000, "{size} bytes");
    let connection = scratch.open();
    let columns = store::Reader::default().columns(&connection, "open").unwrap();
    assert!(columns.iter().any(|(name, _)| name == "mode"), "the columns are known all the same");
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn one_process_changes_segments_at_a_time() {
    let (scratch, _) = sealed();
    let (mut one, mut other) = (scratch.open(), scratch.open());
    let first = Sealer::new(&mut one, moment(0)).unwrap();
    assert!(matches!(Sealer::new(&mut other, moment(0)), Err(store::Error::Busy)));
    drop(first);
    assert!(Sealer::new(&mut other, moment(0)).is_ok());
}

#[test]
fn a_store_of_version_1_is_read_and_continued() {
    let scratch = Scratch::new();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-1.sqlite3");
    fs::copy(old, scratch.path()).unwrap();
    assert_eq!(scratch.rows("nanoseconds").len(), 25);
    assert_eq!((list(&scratch.open()).unwrap(), unsealed(&scratch.open()).unwrap().rows), (vec![], 25));
    let mut writer = scratch.writer();
    write(&mut writer, vec![numbered("nanoseconds", 25)]);
    scratch.seal();
    assert_eq!(scratch.rows("nanoseconds").len(), 26);
    assert_eq!(scratch.findings(), Vec::<String>::new());
}

#[test]
fn a_folder_of_others_or_a_link_is_not_used() {
    let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
    let mut writer = scratch.writer();
    write(&mut writer, vec![numbered("t", 0)]);
    let folder = scratch.folder().join("segments");
    let refusal = || {
        let mut connection = scratch.open();
        let error = Sealer::new(&mut connection, moment(0)).err().unwrap();
        std::error::Error::source(&error).unwrap().to_string()
    };
    std::os::unix::fs::symlink(elsewhere.folder(), &folder).unwrap();
    assert_eq!(refusal(), "it is a link or not a folder");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert!(refusal().contains("mode 0777"), "{}", refusal());
    fs::remove_dir(&folder).unwrap();
    scratch.seal();
    assert_eq!(numbers(&scratch.rows("t")), [0]);
}
