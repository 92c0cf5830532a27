//! Files are found by their identities, in all kinds of stores: on overlays, under paths that several files had, with huge numbers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::ffi::OsStr;
use std::path::Path;

use analyzer::{By, Span, Store, Target, UsesQuery};
use common::{File, OWN_COLUMNS, at};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Adds a row of `usage`: of a process, about a file, with further fields.
fn read(file: &File, table: &str, (pid, path): (i64, &str), fields: &Value) {
    let mut fields = fields.clone();
    fields["bytes_read"] = json!(1);
    file.row(table, pid, &at(1), "x", Some(path), &fields.to_string());
}

/// Returns the files that a target has, each with its aliases, and the pids of the processes that used them.
fn files_and_pids(store: &Store, target: &str) -> (Vec<String>, Vec<i64>) {
    let targets = vec![Target::parse(OsStr::new(target), Path::new("/")).unwrap()];
    let by = By::Process;
    let query = UsesQuery { targets, span: Span::ALL, by, zone: TimeZone::UTC, limit: 100 };
    let (uses, _) = query.run(store).unwrap();
    let shown = uses.targets.iter().map(|file| {
        let aliases = file.aliases.iter().map(|alias| format!(" {alias}")).collect::<String>();
        format!("{}{aliases}", file.file_id)
    });
    let mut pids: Vec<i64> = uses.rows.iter().map(|row| row.group.pid.unwrap()).collect();
    pids.sort_unstable();
    (shown.collect(), pids)
}

#[test]
fn a_file_on_an_overlay_is_also_that_of_its_layer() {
    let file = File::new();
    let table = file.table("usage", "vm", OWN_COLUMNS);
    let layer = json!({"dev": 8, "ino": 77, "generation": 3});
    let on = |dev: u64, ino: u64| json!({"dev": dev, "ino": ino, "generation": 1, "real_dev": 8, "real_ino": 77, "real_generation": 3});
    read(&file, &table, (1, "/app/data"), &on(50, 5));
    read(&file, &table, (2, "/var/lib/layers/app/data"), &layer);
    read(&file, &table, (3, "/other/data"), &on(60, 9));
    read(&file, &table, (4, "/app/data2"), &json!({"dev": 50, "ino": 6, "generation": 1}));
    for store in &file.stores().stores {
        // Another container may have the same file of the layer without having to do with this one's.
        assert_eq!(files_and_pids(store, "/app/data"), (vec!["50:5:1 8:77:3".into()], vec![1, 2]));
        let of_layer = (vec!["8:77:3 50:5:1 60:9:1".into()], vec![1, 2, 3]);
        assert_eq!(files_and_pids(store, "/var/lib/layers/app/data"), of_layer);
        assert_eq!(files_and_pids(store, "id:50:5").0, ["50:5:1 8:77:3"]);
    }
}

#[test]
fn a_path_that_two_files_had_is_both_and_inode_numbers_may_be_huge() {
    let file = File::new();
    let table = file.table("usage", "vm", OWN_COLUMNS);
    let huge = u64::MAX - 1;
    read(&file, &table, (1, "/data/x"), &json!({"dev": 1, "ino": 5, "generation": 1}));
    read(&file, &table, (2, "/data/x"), &json!({"dev": 1, "ino": 5, "generation": 2}));
    read(&file, &table, (3, "/data/y"), &json!({"dev": 1, "ino": huge, "generation": 1}));
    read(&file, &table, (4, "/else"), &json!({"dev": 1, "ino": huge, "generation": 1}));
    for store in &file.stores().stores {
        assert_eq!(files_and_pids(store, "/data/x"), (vec!["1:5:1".into(), "1:5:2".into()], vec![1, 2]));
        assert_eq!(files_and_pids(store, "/data/y"), (vec![format!("1:{huge}:1")], vec![3, 4]));
        assert_eq!(files_and_pids(store, "id:1:5:2").1, [2]);
        assert_eq!(files_and_pids(store, "/data/[xy]").1, [1, 2, 3, 4]);
        assert_eq!(files_and_pids(store, "/nothing"), (vec![], vec![]));
    }
}

#[test]
fn groups_beyond_the_limit_are_added_up_and_counted() {
    let file = File::new();
    let table = file.table("usage", "vm", OWN_COLUMNS);
    for pid in 0..5 {
        read(&file, &table, (pid, "/data/x"), &json!({"dev": 1, "ino": 5, "generation": 1}));
    }
    let targets = vec![Target::Folder("/data/".to_owned())];
    let query = UsesQuery { targets, span: Span::ALL, by: By::Process, zone: TimeZone::UTC, limit: 2 };
    let (uses, evidence) = query.run(&file.store()).unwrap();
    let rows: Vec<(bool, u64)> =
        uses.rows.iter().map(|row| (row.group.others, row.sums.bytes_read)).collect();
    assert_eq!(rows, [(false, 1), (false, 1), (true, 3)]);
    assert!(!evidence.lossless && evidence.cut[0].edges == 3, "{evidence:?}");
}
