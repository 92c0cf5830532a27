//! Tables of filters, records, and whether the filter drops them: duetector's semantics, and our defaults.

use std::collections::BTreeMap;

use model::{Clocks, Details, Moment, Record, TracerName, Tracking, WallTime};
use serde_json::{Value, json};

use super::{FilterConfig, Filters, FiltersConfig, Stage, TracerNames};

fn compile(section: Value) -> Filters {
    let section: FilterConfig = serde_json::from_value(section).unwrap();
    Filters::compile(&FiltersConfig(BTreeMap::from([("f".to_owned(), section)])), "filter").unwrap()
}

fn row(fields: Value) -> Tracking {
    let Value::Object(fields) = fields else { panic!("no object") };
    let record = Record { at: Moment::Wall(WallTime(0)), identity: None, details: Details::Fields(fields) };
    crate::normalize::row(&TracerName::new("t"), record, &Clocks::default()).unwrap()
}

fn dropped(filters: &Filters, row: &Tracking) -> bool {
    filters.drops(row, Stage::Normalized).or_else(|| filters.drops(row, Stage::Enriched)).is_some()
}

/// Checks rows of (filter section, fields of the record, whether it is dropped).
fn check(table: &[(Value, Value, bool)]) {
    for (section, fields, expected) in table {
        let filters = compile(section.clone());
        assert_eq!(dropped(&filters, &row(fields.clone())), *expected, "{section} on {fields}");
    }
}

#[test]
fn exact_values_and_patterns() {
    check(&[
        // exact values: compared without surrounding spaces
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
    ]);
}

#[test]
fn any_field_while_customizing_is_on() {
    check(&[
        (json!({"re_exclude_output": ["secret"]}), json!({"output": "a secret"}), true),
        (
            json!({"re_exclude_output": ["secret"], "enable_customize_exclude": false}),
            json!({"output": "secret"}),
            false,
        ),
        (json!({"exclude_uid": [7], "enable_customize_exclude": false}), json!({"uid": 7}), true),
        // the five that always count
        (json!({"exclude_gid": [7], "enable_customize_exclude": false}), json!({"gid": 7}), true),
        (json!({"exclude_pid": [7], "enable_customize_exclude": false}), json!({"pid": 7}), true),
        (json!({"re_exclude_comm": ["^s"], "enable_customize_exclude": false}), json!({"comm": "sh"}), true),
        (json!({"re_exclude_fname": ["x"], "enable_customize_exclude": false}), json!({"fname": "x"}), true),
        (json!({"exclude_fname": ["x"], "enable_customize_exclude": false}), json!({"fname": "x"}), false),
        // any field name, including those that duetector's other parts use
        (
            json!({"exclude_inspector__docker__maybe_container_id": ["c1"]}),
            json!({"inspector__docker__maybe_container_id": "c1"}),
            true,
        ),
        (
            json!({"re_exclude_inspector__proc__cgroup__cgroups": ["docker"]}),
            json!({"inspector__proc__cgroup__cgroups": ["0::/docker/x"]}),
            true,
        ),
        (json!({"exclude_a-b": ["x"]}), json!({"a-b": " x "}), true),
        (json!({"exclude_errno": "ENOENT, EACCES"}), json!({"errno": "EACCES"}), true),
        (json!({"exclude_ret": "['-2']"}), json!({"ret": -2}), true),
    ]);
}

#[test]
fn missing_and_empty_fields_and_pythons_format() {
    check(&[
        // missing and null fields never match
        (json!({"exclude_fname": ["", "None", "null"]}), json!({"fname": null}), false),
        (json!({"exclude_x": ["", "None", "null"], "re_exclude_x": ["^"]}), json!({}), false),
        (json!({"exclude_container_id": ["", "None"]}), json!({"container_id": null}), false),
        // empty text matches as a value but never as a pattern
        (json!({"exclude_fname": [""]}), json!({"fname": "  "}), true),
        (json!({"re_exclude_fname": ["^$", "^ *$"]}), json!({"fname": "  "}), false),
        // compared in Python's format
        (json!({"exclude_x": ["0.0", "False"]}), json!({"x": 0.0}), true),
        (json!({"exclude_x": ["0.0", "False"]}), json!({"x": false}), true),
        (json!({"exclude_x": "True"}), json!({"x": true}), true),
        (json!({"exclude_uid": "1, 2"}), json!({"uid": 12}), false),
        (json!({"exclude_uid": 12}), json!({"uid": "12"}), true),
        (json!({"re_exclude_fname": "^/a/, ^/b/"}), json!({"fname": "/b/c"}), true),
    ]);
}

#[test]
fn the_agent_itself_and_only_some_tracers() {
    let own_pid = std::process::id();
    check(&[
        // added by enrichers
        (json!({"exclude_cwd": ["/tmp"]}), json!({"cwd": "/tmp"}), true),
        // own pid
        (json!({}), json!({"pid": own_pid}), true),
        (json!({"ignore_current_pid": false}), json!({"pid": own_pid}), false),
        // only some tracers
        (json!({"exclude_uid": [0], "tracers": ["t"]}), json!({"uid": 0}), true),
        (json!({"exclude_uid": [0], "tracers": ["other"]}), json!({"uid": 0}), false),
        (json!({"exclude_tracer": ["t"]}), json!({}), true),
    ]);
}

#[test]
fn problems_are_reported_with_key_and_index() {
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

#[test]
fn expressions_drop_or_keep() {
    check(&[
        (json!({"drop": "uid == 0"}), json!({"uid": 0}), true),
        (json!({"drop": "uid == 0"}), json!({"uid": 1}), false),
        (json!({"drop": "uid == 0"}), json!({}), false),
        (json!({"keep": "uid == 0"}), json!({"uid": 0}), false),
        (json!({"keep": "uid == 0"}), json!({}), true),
        (
            json!({"kind": "cel", "keep": "fname.startsWith('/data/') && uid != 0"}),
            json!({"fname": "/data/x", "uid": 1}),
            false,
        ),
        (json!({"keep": "fname.startsWith('/data/')", "tracers": ["other"]}), json!({"fname": "/x"}), false),
        (
            json!({"keep": "fname.startsWith('/data/')", "tracers": ["t", "other"]}),
            json!({"fname": "/x"}),
            true,
        ),
        (json!({"drop": "cwd == '/tmp' || exe == '/bin/sh'"}), json!({"cwd": "/tmp"}), true),
        (json!({"drop": "extended[comm] == 1"}), json!({"comm": "x", "x": 1}), true),
        (json!({"drop": "extended.size > 100"}), json!({"size": 101}), true),
        (json!({"drop": "uid == 0", "disabled": true}), json!({"uid": 0}), false),
        // can't be evaluated: kept with `drop` and with `keep`
        (json!({"drop": "extended.size > 100"}), json!({"size": "large"}), false),
        (json!({"keep": "extended.size > 100"}), json!({"size": "large"}), false),
    ]);
}

#[test]
fn rows_that_an_expression_can_not_evaluate_are_counted_once() {
    let filters = compile(json!({"drop": "extended.size > 100 && cwd != ''"}));
    for size in [json!("large"), json!(1), json!([])] {
        assert!(!dropped(&filters, &row(json!({"size": size}))));
    }
    let failures: Vec<_> =
        filters.take_failures().map(|(name, found)| (name.to_owned(), found.count)).collect();
    assert_eq!(failures, [("f".to_owned(), 2)]);
    assert_eq!(filters.take_failures().count(), 0);
}

#[test]
fn expressions_are_asked_as_early_as_can_be() {
    let early = compile(json!({"drop": "fname == '/x' && extended.errno == null"}));
    assert!(!early.needs_enriched());
    assert_eq!(early.drops(&row(json!({"fname": "/x"})), Stage::Normalized), Some(0));
    assert_eq!(early.drops(&row(json!({"fname": "/x"})), Stage::Enriched), None);
    for text in
        ["exe == null", "container_id == null", "extended.cwd_bytes == null", "extended[comm] == null"]
    {
        let late = compile(json!({"drop": text}));
        assert!(late.needs_enriched(), "{text}");
        assert_eq!(late.drops(&row(json!({})), Stage::Normalized), None);
        assert_eq!(late.drops(&row(json!({})), Stage::Enriched), Some(0));
    }
}

#[test]
fn errors_in_an_expression_are_reported_with_line_and_column() {
    let table = [
        (json!({"drop": "uid == 'root'"}), "filter.f.drop: 1:5: operator == does not take int and string"),
        (json!({"keep": "uid == 0 &&\n pidd > 1"}), "filter.f.keep: 2:2: unknown field \"pidd\""),
        (json!({"keep": "true", "drop": "true"}), "filter.f.keep: expected drop or keep, found both"),
        (json!({"kind": "cel"}), "filter.f: an expression is missing"),
        (json!({"drop": "true", "exclude_uid": [0]}), "filter.f.exclude_uid: unknown field `exclude_uid`"),
        (json!({"drop": "true", "kind": "patternfilter"}), "filter.f.drop: this filter is a patternfilter"),
        (json!({"drop": "true &&", "disabled": true}), "filter.f.drop: 1:8: unexpected end"),
    ];
    for (section, expected) in table {
        let filter: FilterConfig = serde_json::from_value(section).unwrap();
        let problems = FiltersConfig(BTreeMap::from([("f".to_owned(), filter)])).validate("filter");
        assert!(problems[0].to_string().starts_with(expected), "{}", problems[0]);
    }
}

#[test]
fn an_include_without_its_anchor_causes_a_warning() {
    let section = json!({"re_exclude_fname": ["^/proc/", "(?!/data/)"], "re_exclude_comm": "^(?!sh)"});
    let filter: FilterConfig = serde_json::from_value(section).unwrap();
    let warnings =
        FiltersConfig(BTreeMap::from([("f".to_owned(), filter)])).warnings("filter", &TracerNames::default());
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "filter.f.re_exclude_fname[1]: \"(?!/data/)\" is found in every text, so every row with this field is \
          dropped; to keep only what it names, write \"^(?!/data/)\""
        ]
    );
    assert_eq!(FiltersConfig::default().warnings("filter", &TracerNames::default()), []);
}

#[test]
fn a_path_that_is_not_known_as_a_whole_is_kept_and_counted() {
    let table = [
        (json!({"keep": "fname.startsWith('/data/')"}), json!({"fname": "a/b", "path_incomplete": true}), 1),
        (json!({"drop": "!fname.startsWith('/data/')"}), json!({"fname": "a/b", "path_incomplete": true}), 1),
        (json!({"keep": "fname.startsWith('/data/')"}), json!({"path_incomplete": true}), 1),
        (json!({"keep": "fname.startsWith('/data/')"}), json!({"fname": "/x", "path_unresolved": true}), 1),
        (json!({"re_exclude_fname": ["^/proc/"]}), json!({"fname": "proc/b", "path_incomplete": true}), 1),
        (json!({"exclude_fname": ["/a/b"]}), json!({"fname": "b", "path_incomplete": true}), 1),
        (json!({"exclude_fname": ["/a/b"]}), json!({"fname": "c", "path_incomplete": true}), 0),
        (json!({"exclude_new_path": ["/a/b"]}), json!({"new_path": "b", "path_incomplete": true}), 1),
        // Of two paths, the other one is incomplete.
        (json!({"re_exclude_fname": ["^/proc/"]}), json!({"fname": "/data/a", "path_incomplete": true}), 0),
        (json!({"drop": "cwd.startsWith('/data/')"}), json!({"path_incomplete": true}), 0),
    ];
    for (section, fields, undecided) in table {
        let filters = compile(section.clone());
        assert!(!dropped(&filters, &row(fields.clone())), "{section} on {fields}");
        let counted: u64 = filters.take_failures().map(|(_, failures)| failures.count).sum();
        assert_eq!(counted, undecided, "{section} on {fields}");
    }
    // Another test decides.
    let section = json!({"re_exclude_fname": ["^/proc/"], "exclude_uid": [7]});
    let filters = compile(section);
    assert!(dropped(&filters, &row(json!({"fname": "a", "path_incomplete": true, "uid": 7}))));
    assert_eq!(filters.take_failures().count(), 0);
}

#[test]
fn names_of_users_are_numbers_in_the_filter_and_in_the_kernel() {
    let section = json!({"exclude_uid": ["root"], "exclude_gid": "root", "ignore_current_pid": false});
    check(&[
        (section.clone(), json!({"uid": 0, "gid": 1}), true),
        (section.clone(), json!({"uid": 1, "gid": 0}), true),
        (section.clone(), json!({"uid": 1, "gid": 1}), false),
    ]);
    let filter: FilterConfig = serde_json::from_value(section).unwrap();
    let pushdown = FiltersConfig(BTreeMap::from([("f".to_owned(), filter)])).pushdown();
    let rules: Vec<String> = pushdown.rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["gid == 0", "uid == 0"]);
    assert_eq!(pushdown.splits[0].collector, None);
}

mod random {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_json::{Map, Value};

    fn value() -> BoxedStrategy<Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z0-9()\\[\\]{}^$*+?|\\\\.,'\"/&~-]{0,12}".prop_map(Value::from),
            "(system|uid == 0|extended\\.x > 1|comm\\.startsWith\\('s'\\)|true|\\(\\?!x\\)|cwd)"
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
        .boxed()
    }

    fn section() -> BoxedStrategy<Value> {
        let key = prop::sample::select(vec![
            "kind",
            "disabled",
            "tracers",
            "drop",
            "keep",
            "ignore_current_pid",
            "enable_customize_exclude",
            "exclude_uid",
            "re_exclude_fname",
            "exclude_x",
            "re_exclude_x",
            "folders",
            "files",
            "exclude_",
            "other",
        ]);
        prop::collection::btree_map(key, value(), 0..4)
            .prop_map(|map| {
                map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
            })
            .boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_configuration_breaks_filters(filter in section(), x in value(), fname in ".{0,20}") {
            let config = Value::Object(Map::from_iter([("f".to_owned(), filter)]));
            let fields = Map::from_iter([("x".to_owned(), x), ("fname".to_owned(), Value::from(fname))]);
            super::super::fuzz_target(config, fields);
        }
    }
}
