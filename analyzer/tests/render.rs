//! Formats: what a program reads back is what was stored, and nothing moves a terminal's cursor.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io;

use analyzer::render::escape::is_hostile;
use analyzer::render::{self, Format, Paper, RenderError};
use analyzer::{Query, Store};
use common::{File, OWN_COLUMNS, at, names};
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
    render::rows(&mut store.query(query).unwrap(), format, Paper { terminal }, &mut out).unwrap();
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
            "count": null, "extended": {"flags": ["O_RDONLY"]},
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
fn a_table_shows_what_a_row_is_about() {
    let file = file("/data/x", &json!({}));
    let shown = text(&file.store(), &Query::default(), Format::Table, None);
    assert!(shown.contains("about") && shown.contains("/data/x") && shown.contains(&at(1)), "{shown}");
    assert!(!shown.contains("container_id"), "{shown}");
    let query = Query { columns: names(&["container_id", "comm"]), ..Query::default() };
    assert!(text(&file.store(), &query, Format::Table, None).contains("container_id"));
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
fn a_terminal_only_ever_gets_what_it_can_show() {
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
    render::brief_table(&store.brief().unwrap(), Paper { terminal: Some(80) }, &mut brief).unwrap();
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
        let error: RenderError = render::rows(&mut answer, format, Paper::default(), &mut Gone).unwrap_err();
        assert!(error.is_broken_pipe(), "{format:?}: {error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_programs_read_is_what_was_stored(fname in "[^\0]*", key in "[^\0]+", value in "[^\0]*") {
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
