//! Layers, their strength and their provenance; the files in `configs/`, good and bad.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::layers::{self, Origin};
use super::{Config, Loaded, Sources, effective, load, to_toml};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn sources(file: Option<PathBuf>, env: &[(&str, &str)], set: &[&str]) -> Sources {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources {
        file,
        env: env.iter().map(owned).collect(),
        set: set.iter().map(|argument| (*argument).to_owned()).collect(),
    }
}

fn loaded(env: &[(&str, &str)], set: &[&str]) -> Loaded {
    load(&sources(None, env, set)).unwrap()
}

fn refused(env: &[(&str, &str)], set: &[&str]) -> String {
    load(&sources(None, env, set)).unwrap_err().to_string()
}

#[test]
fn every_file_we_ship_is_valid() {
    for file in toml_files(&configs()).into_iter().chain(toml_files(&configs().join("examples"))) {
        load(&sources(Some(file), &[], &[])).unwrap();
    }
}

#[test]
fn every_invalid_file_states_its_errors_in_line_1() {
    for file in toml_files(&configs().join("invalid")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
        let found = load(&sources(Some(file.clone()), &[], &[])).unwrap_err().to_string();
        for expected in expected.split("; ") {
            let expected = format!("{}:{expected}", file.display());
            assert!(found.contains(&expected), "expected: {expected}\nfound: {found}");
        }
        assert_eq!(found.matches(".toml:").count(), expected.split("; ").count(), "{found}");
    }
}

#[test]
fn the_default_file_says_the_defaults_and_all_of_them() {
    let file = configs().join("default.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let config = load(&sources(Some(file.clone()), &[], &[])).unwrap().config;
    assert_eq!(config, Config::default());
    let table = toml::Table::try_from(Config::default()).unwrap();
    let all: BTreeSet<_> = layers::of_table(&table, &Origin::Default).0.into_keys().collect();
    let said: BTreeSet<_> = layers::of_file(&file, &text).unwrap().0.into_keys().collect();
    assert_eq!(said, all);
}

#[test]
fn in_place_of_duetector_only_its_tracers_run() {
    let file = configs().join("duetector-compat.toml");
    let kernel = load(&sources(Some(file), &[], &[])).unwrap().config.tracer.kernel;
    let on: Vec<_> = bpf_programs::programs::tracers()
        .map(|tracer| tracer.name)
        .filter(|name| !kernel.of(name).disabled)
        .collect();
    assert_eq!(on, ["open", "clone", "connect"]);
}

#[test]
fn a_file_yields_to_the_environment_and_that_to_set() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let text =
        "[tracer.open]\nname = \"from-file\"\n[tracer.exec]\nname = \"file\"\n[tracer.exit]\nname = \"f\"\n";
    std::fs::write(&file, text).unwrap();
    let env = [("DUETECTOR_TRACER__EXEC__NAME", "env"), ("DUETECTOR_TRACER__EXIT__NAME", "env2")];
    let loaded = load(&sources(Some(file.clone()), &env, &["tracer.exit.name=set"])).unwrap();
    let origin = |key: &str| {
        let settings = effective(&loaded);
        let found = settings.iter().find(|setting| setting.key == key).unwrap();
        (found.value.as_str().unwrap().to_owned(), found.origin.clone())
    };
    assert_eq!(origin("tracer.open.name"), ("from-file".to_owned(), Origin::File(file, 2)));
    let env = Origin::Env("DUETECTOR_TRACER__EXEC__NAME".to_owned());
    assert_eq!(origin("tracer.exec.name"), ("env".to_owned(), env));
    assert_eq!(
        origin("tracer.exit.name"),
        ("set".to_owned(), Origin::Set("tracer.exit.name=set".to_owned()))
    );
    assert_eq!(origin("tracer.connect.name"), ("connect".to_owned(), Origin::Default));
}

#[test]
fn text_becomes_what_the_setting_is() {
    let env = [
        ("DUETECTOR_TRACER__OPEN__DISABLED", "true"),
        ("DUETECTOR_TRACER__OPEN__NAME", "7"),
        ("DUETECTOR_EBPF__UIDS", "1,2"),
        ("DUETECTOR_EBPF__DATA_RING", "2MiB"),
    ];
    let config =
        loaded(&env, &["ebpf.queue=3", "tracer.uname.comm=[\"uname\", \"-r\"]", "collector.id=\"x=y\""])
            .config;
    assert!(config.tracer.kernel.of("open").disabled);
    assert_eq!(config.tracer.kernel.of("open").name, "7");
    assert_eq!((config.ebpf.uids, config.ebpf.queue), (vec![1, 2], 3));
    assert_eq!(config.tracer.uname.comm, ["uname", "-r"]);
    assert_eq!(config.collector.id, "x=y");
}

#[test]
fn one_key_of_the_default_filter_leaves_the_others() {
    let config = loaded(&[], &["filter.pattern.exclude_uid=[0]"]).config;
    let filter = &config.filter.0["pattern"];
    assert_eq!(filter.excludes["exclude_uid"], serde_json::json!([0]));
    assert_eq!(
        filter.excludes["re_exclude_fname"],
        Config::default().filter.0["pattern"].excludes["re_exclude_fname"]
    );
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let env = [("DUETECTOR_LOG", "debug"), ("DUETECTOR_DAEMON_WORKDIR", "/x"), ("OTHER__X", "1")];
    assert_eq!(loaded(&env, &[]).config, Config::default());
}

#[test]
fn all_errors_come_at_once_each_with_its_origin() {
    let env = [("DUETECTOR_TRACER__OPEN__DISABLED", "maybe"), ("DUETECTOR_NOPE__X", "1")];
    let found = refused(&env, &["ebpf.queue=x", "tracer.open.nam=x"]);
    for expected in [
        "environment DUETECTOR_TRACER__OPEN__DISABLED: tracer.open.disabled: expected true or false, found string \"maybe\"",
        "environment DUETECTOR_NOPE__X: nope: unknown key",
        "--set ebpf.queue=x: ebpf.queue: expected a whole number, not negative, found string \"x\"",
        "--set tracer.open.nam=x: tracer.open.nam: unknown key, did you mean `name`?",
    ] {
        assert!(found.contains(expected), "expected: {expected}\nfound: {found}");
    }
    assert!(refused(&[], &["tracer.open.disabled"]).contains("expected section.key=value"));
}

#[test]
fn a_missing_file_is_told_as_such() {
    let missing = PathBuf::from("/nonexistent/duetector.toml");
    let found = load(&sources(Some(missing), &[], &[])).unwrap_err().to_string();
    assert!(found.contains("/nonexistent/duetector.toml: can't be read: No such file"), "{found}");
}

#[test]
fn what_is_shown_can_be_loaded_again() {
    let set = [
        "tracer.template.sp.\"a.b\".comm=[\"x\"]",
        "tracer.template.sp.c.comm=y",
        "tracer.template.sp.c.config.depth=3",
        "collector.id=a#b",
    ];
    let first = loaded(&[], &set);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shown.toml");
    std::fs::write(&file, to_toml(&effective(&first))).unwrap();
    assert_eq!(load(&sources(Some(file), &[], &[])).unwrap().config, first.config);
}
