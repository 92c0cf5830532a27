//! Formats: programs read back exactly the stored text, tables are for people, and nothing moves a terminal's cursor.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io;

use analyzer::render::escape::is_hostile;
use analyzer::render::{self, Format, Output, RenderError};
use analyzer::{Brief, Query, Store};
use common::{File, OWN_COLUMNS, at, names, time};
use proptest::prelude::*;
use serde_json::{Value, json};

const HOSTILE: &str = "/tmp/\u{1b}[2J\nnew\"line',;\t\u{9b}31m\u{202e}gpj.exe\u{7f}\u{e0041}";

fn file(fname: &str, extended: &Value) -> File {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    file.row(&table, 1, &at(1), "cat", Some(fname), &extended.to_string());
    file
}

fn text(store: &Store, query: &Query, format: Format, terminal: Option<u16>) -> String {
    let mut out = Vec::new();
    render::rows(
        &mut store.query(query).unwrap(),
        format,
        Output { terminal, ..Output::default() },
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_is_one_array_with_every_column() {
    let file = file("/a", &json!({"flags": ["O_RDONLY"]}));
    let rows: Value =
        serde_json::from_str(&text(&file.store(), &Query::default(), Format::Json, None)).unwrap();
    assert_eq!(
        rows,
        json!([{
            "tracer": "open", "pid": 1, "uid": 0, "gid": 0, "dt": at(1), "comm": "cat", "cwd": null, "fname": "/a",
            "tid": null, "ppid": null, "exec_id": null, "exe": null, "container_id": null, "ret": null,
            "count": null, "time": time(&at(1)), "boot_ns": null, "extended": {"flags": ["O_RDONLY"]},
        }])
    );
    let none = Query { tracers: names(&["nope"]), ..Query::default() };
    assert_eq!(text(&file.store(), &none, Format::Json, None), "[]\n");
}

#[test]
fn csv_has_a_header_and_extended_as_json() {
    let file = file("/a,\"b\"", &json!({"k": 1}));
    let query = Query { columns: names(&["pid", "fname", "cwd", "extended"]), ..Query::default() };
    let csv = text(&file.store(), &query, Format::Csv, None);
    assert_eq!(csv, "pid,fname,cwd,extended\n1,\"/a,\"\"b\"\"\",,\"{\"\"k\"\":1}\"\n");
}

#[test]
fn a_table_shows_time_and_phrase_of_each_row() {
    let file = file("/data/x", &json!({}));
    let shown = text(&file.store(), &Query::default(), Format::Table, None);
    assert!(shown.contains("about") && shown.contains("/data/x") && shown.contains(&at(1)), "{shown}");
    assert!(!shown.contains("container_id"), "{shown}");
    let query = Query { columns: names(&["container_id", "comm"]), ..Query::default() };
    assert!(text(&file.store(), &query, Format::Table, None).contains("container_id"));
}

#[test]
fn a_table_shows_users_by_name_unless_numbers_are_wanted() {
    let file = file("/data/x", &json!({}));
    let store = file.store();
    let shown = |columns: &[&str], numeric: bool| {
        let query = Query { columns: names(columns), ..Query::default() };
        let mut out = Vec::new();
        let output = Output { numeric, ..Output::default() };
        render::rows(&mut store.query(&query).unwrap(), Format::Table, output, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    // User and group 0 have this name on every machine that has names.
    assert_eq!(shown(&["uid", "gid", "pid"], false), " uid   gid   pid\n root  root    1\n");
    assert_eq!(shown(&["uid", "gid", "pid"], true), " uid  gid  pid\n   0    0    1\n");
    assert!(shown(&[], false).contains("root"));
    assert!(!shown(&[], true).contains("root"));
}

/// Fills in the times, whose offset is that of this machine.
fn with_times(expected: &str) -> String {
    [1, 2].iter().fold(expected.to_owned(), |text, second| {
        text.replace(&format!("TIME {second}"), &time(&at(*second)).to_text())
    })
}

/// The outputs that programs read, byte for byte. These files were made before tables showed names and phrases.
#[test]
fn formats_for_programs_are_as_they_always_were() {
    let file = file("/data/x", &json!({"flags": ["O_RDONLY"], "errno": "ENOENT", "deep": {"er": 1.5}}));
    let exit = file.table("exit", "vm", OWN_COLUMNS);
    file.row(&exit, 2, &at(2), "sh", None, r#"{"code": 3, "signal": 0, "duration_ns": 8765431}"#);
    let store = file.store();
    let golden = [
        (Format::Json, include_str!("golden/rows.json")),
        (Format::Jsonl, include_str!("golden/rows.jsonl")),
        (Format::Csv, include_str!("golden/rows.csv")),
    ];
    for (format, expected) in golden {
        for numeric in [false, true] {
            let mut out = Vec::new();
            let output = Output { numeric, ..Output::default() };
            render::rows(&mut store.query(&Query::default()).unwrap(), format, output, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), with_times(expected), "{format:?}");
        }
    }
    let mut brief = Vec::new();
    render::brief_json(&store.brief().unwrap(), &mut brief).unwrap();
    assert_eq!(String::from_utf8(brief).unwrap(), with_times(include_str!("golden/brief.json")));
}

#[test]
fn a_brief_leaves_out_tracers_without_rows_or_losses() {
    let file = file("/data/x", &json!({}));
    file.table("accept", "vm", OWN_COLUMNS);
    let mut brief = file.store().brief().unwrap();
    let shown = |brief: &Brief, all: bool| {
        let mut out = Vec::new();
        let left_out = render::brief_table(brief, all, Output::default(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        (left_out, ["accept", "open"].map(|tracer| text.contains(tracer)))
    };
    assert_eq!(shown(&brief, false), (1, [false, true]));
    assert_eq!(shown(&brief, true), (0, [true, true]));
    brief.tracers[0].lost.ring = 1;
    assert_eq!(shown(&brief, false), (0, [true, true]));
}

#[test]
fn long_tables_are_written_in_parts_with_every_row() {
    let file = File::new();
    let table = file.table("open", "vm", OWN_COLUMNS);
    file.connection.execute_batch("BEGIN").unwrap();
    for pid in 0..1203 {
        file.row(&table, pid, &at(1), "cat", Some("/x"), "{}");
    }
    file.connection.execute_batch("COMMIT").unwrap();
    let shown = text(&file.store(), &Query { limit: 0, ..Query::default() }, Format::Table, None);
    assert_eq!(shown.lines().filter(|line| line.contains("/x")).count(), 1203);
}

#[test]
fn a_terminal_gets_only_characters_that_it_can_show() {
    let file = file(HOSTILE, &json!({ HOSTILE: HOSTILE, "argv": [HOSTILE] }));
    let store = file.store();
    for format in [Format::Table, Format::Json, Format::Jsonl, Format::Csv] {
        for query in
            [Query::default(), Query { columns: names(&["fname", "extended", "argv"]), ..Query::default() }]
        {
            let shown = text(&store, &query, format, Some(80));
            let hostile: Vec<char> = shown.chars().filter(|c| *c != '\n' && is_hostile(*c)).collect();
            assert_eq!(hostile, [], "{format:?}");
        }
    }
    let mut brief = Vec::new();
    let output = Output { terminal: Some(80), ..Output::default() };
    render::brief_table(&store.brief().unwrap(), true, output, &mut brief).unwrap();
    assert!(String::from_utf8(brief).unwrap().contains("open"));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let file = file("/a", &json!({}));
    for format in [Format::Table, Format::Json, Format::Jsonl, Format::Csv] {
        let store = file.store();
        let mut answer = store.query(&Query::default()).unwrap();
        let error: RenderError = render::rows(&mut answer, format, Output::default(), &mut Gone).unwrap_err();
        assert!(error.is_broken_pipe(), "{format:?}: {error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn programs_read_exactly_the_text_that_was_stored(fname in "[^\0]*", key in "[^\0]+", value in "[^\0]*") {
        let extended = json!({ key: value });
        let file = file(&fname, &extended);
        let store = file.store();
        for format in [Format::Json, Format::Jsonl] {
            let shown = text(&store, &Query::default(), format, None);
            let read: Value = serde_json::from_str(&shown).unwrap();
            let row = if format == Format::Json { &read[0] } else { &read };
            prop_assert_eq!(&row["fname"], &Value::from(fname.clone()));
            prop_assert_eq!(&row["extended"], &extended);
        }
        let query = Query { columns: names(&["fname"]), ..Query::default() };
        let csv = text(&store, &query, Format::Csv, None);
        let read: Vec<String> = csv::Reader::from_reader(csv.as_bytes())
            .records().map(|record| record.unwrap()[0].to_owned()).collect();
        prop_assert_eq!(read, [fname]);
    }
}
