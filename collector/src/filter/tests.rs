//! What filters drop, as a table: the contract's semantics, and our defaults.

use std::collections::BTreeMap;

use model::{BootClock, Details, Moment, Record, TracerName, Tracking, WallTime};
use serde_json::{Value, json};

use super::{FilterConfig, Filters, FiltersConfig, Stage};

fn compile(section: Value) -> Filters {
    let section: FilterConfig = serde_json::from_value(section).unwrap();
    Filters::compile(&FiltersConfig(BTreeMap::from([("f".to_owned(), section)])), "filter").unwrap()
}

fn row(fields: Value) -> Tracking {
    let Value::Object(fields) = fields else { panic!("no object") };
    let record = Record { at: Moment::Wall(WallTime(0)), identity: None, details: Details::Fields(fields) };
    crate::normalize::row(&TracerName::new("t"), record, BootClock::default()).unwrap()
}

fn dropped(filters: &Filters, row: &Tracking) -> bool {
    filters.drops(row, Stage::Normalized).or_else(|| filters.drops(row, Stage::Enriched)).is_some()
}

#[test]
fn the_contracts_semantics() {
    let own_pid = std::process::id();
    let table = [
        // exact: stripped text in the set
        (json!({"exclude_uid": [0]}), json!({"uid": 0}), true),
        (json!({"exclude_uid": [0]}), json!({"uid": "0"}), true),
        (json!({"exclude_uid": [0]}), json!({"uid": 1000}), false),
        (json!({"exclude_uid": "1000"}), json!({"uid": 1}), false),
        (json!({"exclude_uid": "1000"}), json!({"uid": 1000}), true),
        (json!({"exclude_comm": "sh, bash"}), json!({"comm": " bash "}), true),
        (json!({"exclude_uid": ["00"]}), json!({"uid": 0}), false),
        (json!({"exclude_x": [0]}), json!({"x": false}), false),
        (json!({"exclude_x": [0]}), json!({"x": 0.0}), false),
        (json!({"exclude_x": [0]}), json!({"x": 0}), true),
        // patterns: found anywhere
        (json!({"re_exclude_fname": ["/lib"]}), json!({"fname": "/home/alice/library/x"}), true),
        (json!({"re_exclude_fname": ["^/lib"]}), json!({"fname": "/home/alice/library/x"}), false),
        (json!({"re_exclude_fname": ["(?!/proc/)"]}), json!({"fname": "/proc/1"}), true),
        (json!({"re_exclude_fname": ["^(?!/data/)"]}), json!({"fname": "/data/1"}), false),
        (json!({"re_exclude_fname": ["^(?!/data/)"]}), json!({"fname": "/etc/1"}), true),
        (json!({"re_exclude_fname": [".*"]}), json!({"fname": ""}), false),
        (json!({"re_exclude_fname": [".*"]}), json!({"fname": null}), false),
        (json!({"re_exclude_fname": [".*"]}), json!({}), false),
        (json!({"re_exclude_uid": ["^1..$"]}), json!({"uid": 123}), true),
        // any field, while customizing is on
        (json!({"re_exclude_output": ["secret"]}), json!({"output": "a secret"}), true),
        (
            json!({"re_exclude_output": ["secret"], "enable_customize_exclude": false}),
            json!({"output": "secret"}),
            false,
        ),
        (json!({"exclude_uid": [7], "enable_customize_exclude": false}), json!({"uid": 7}), true),
        // added by enrichers
        (json!({"exclude_cwd": ["/tmp"]}), json!({"cwd": "/tmp"}), true),
        // own pid
        (json!({}), json!({"pid": own_pid}), true),
        (json!({"ignore_current_pid": false}), json!({"pid": own_pid}), false),
        // only some tracers
        (json!({"exclude_uid": [0], "tracers": ["t"]}), json!({"uid": 0}), true),
        (json!({"exclude_uid": [0], "tracers": ["other"]}), json!({"uid": 0}), false),
        (json!({"exclude_tracer": ["t"]}), json!({}), true),
    ];
    for (section, fields, expected) in table {
        let filters = compile(section.clone());
        assert_eq!(dropped(&filters, &row(fields.clone())), expected, "{section} on {fields}");
    }
}

#[test]
fn the_defaults_hide_noise_and_nothing_else() {
    let filters = Filters::compile(&FiltersConfig::default(), "filter").unwrap();
    let hidden = [
        "/proc/self/maps",
        "/sys/fs/cgroup/x",
        "/dev/null",
        "/dev/pts/3",
        "/etc/ld.so.cache",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/lib/x86_64-linux-gnu/libm.so.6",
        "/usr/lib/locale/C.utf8/LC_CTYPE",
        "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
        "/usr/lib/python3.11/os.py",
        "/usr/share/zoneinfo/Europe/Berlin",
    ];
    let shown = [
        "/etc/passwd",
        "/home/alice/library/x",
        "/home/alice/lib/libdata.so",
        "/data/proc/set.csv",
        "/dev/sda",
        "/dev/shm/model.bin",
        "/run/secrets/token",
        "/usr/lib/git-core/git",
        "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "/tmp/x",
    ];
    for (paths, expected) in [(&hidden[..], true), (&shown[..], false)] {
        for path in paths {
            assert_eq!(dropped(&filters, &row(json!({"fname": path, "uid": 0}))), expected, "{path}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_key_and_place() {
    let section = json!({"re_exclude_fname": ["ok", "("], "exclude_uid": {"a": 1}, "exclud_uid": [1]});
    let section: FilterConfig = serde_json::from_value(section).unwrap();
    let config = FiltersConfig(BTreeMap::from([("mine".to_owned(), section)]));
    let problems = config.validate("filter");
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        ["filter.mine.exclud_uid", "filter.mine.exclude_uid", "filter.mine.re_exclude_fname[1]"]
    );
    assert!(problems[2].message.contains("\"(\" is no pattern: "), "{}", problems[2]);
}
