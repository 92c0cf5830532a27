//! Tests of the layers' precedence and origins, and of the files in `configs/`, valid and invalid.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::layers::Layer;
use super::origin::Origin;
use super::{Config, Loaded, Sources, effective, load, parse, to_toml};

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
        trusted_only: false,
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
fn every_shipped_file_is_valid() {
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
fn the_default_file_has_all_settings_at_their_defaults() {
    let file = configs().join("default.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let config = load(&sources(Some(file.clone()), &[], &[])).unwrap().config;
    assert_eq!(config, Config::default());
    let table = toml::Table::try_from(Config::default()).unwrap();
    let keys = |layer: Layer| layer.iter().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
    let written = parse::file(&file, &text).unwrap();
    assert_eq!(keys(written), keys(Layer::of_table(&table, &Origin::Default)));
}

#[test]
fn the_compatible_configuration_runs_only_duetectors_tracers() {
    let file = configs().join("duetector-compat.toml");
    let kernel = load(&sources(Some(file), &[], &[])).unwrap().config.tracer.kernel;
    let on: Vec<_> =
        bpf_programs::tracers().map(|tracer| tracer.name).filter(|name| !kernel.of(name).disabled).collect();
    assert_eq!(on, ["open", "clone", "connect"]);
}

#[test]
fn set_overrides_the_environment_which_overrides_the_file() {
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
    assert_eq!(
        origin("tracer.open.name"),
        ("from-file".to_owned(), Origin::File { path: file, line: 2, column: 1 })
    );
    let env = Origin::Env("DUETECTOR_TRACER__EXEC__NAME".to_owned());
    assert_eq!(origin("tracer.exec.name"), ("env".to_owned(), env));
    assert_eq!(
        origin("tracer.exit.name"),
        ("set".to_owned(), Origin::Set("tracer.exit.name=set".to_owned()))
    );
    assert_eq!(origin("tracer.connect.name"), ("connect".to_owned(), Origin::Default));
}

#[test]
fn text_is_converted_to_the_settings_type() {
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
fn setting_one_key_of_the_default_filter_keeps_the_others() {
    let config = loaded(&[], &["filter.pattern.exclude_uid=[0]"]).config;
    let filter = &config.filter.0["pattern"];
    assert_eq!(filter.excludes["exclude_uid"], serde_json::json!([0]));
    assert_eq!(
        filter.excludes["re_exclude_fname"],
        Config::default().filter.0["pattern"].excludes["re_exclude_fname"]
    );
}

#[test]
fn variables_that_are_not_settings_are_ignored() {
    let env = [("DUETECTOR_LOG", "debug"), ("DUETECTOR_DAEMON_WORKDIR", "/x"), ("OTHER__X", "1")];
    assert_eq!(loaded(&env, &[]).config, Config::default());
}

#[test]
fn a_variable_with_very_many_parts_does_not_overflow_the_stack() {
    let name = format!("DUETECTOR_{}X", "A__".repeat(40_000));
    assert!(refused(&[(&name, "1")], &[]).contains(": a: unknown key"));
}

#[test]
fn all_errors_are_reported_at_once_with_their_origins() {
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
fn a_missing_file_is_reported() {
    let missing = PathBuf::from("/nonexistent/duetector.toml");
    let found = load(&sources(Some(missing), &[], &[])).unwrap_err().to_string();
    assert!(found.contains("/nonexistent/duetector.toml: can't be read: No such file"), "{found}");
}

#[test]
fn the_shown_configuration_can_be_loaded_again() {
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

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Returns the value and the origin of a setting, as `config show` prints them.
fn shown(loaded: &Loaded, key: &str) -> (String, String) {
    let settings = effective(loaded);
    let found = settings.iter().find(|setting| setting.key == key).unwrap();
    (found.value.to_string(), found.origin.to_string())
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

const OLD_ENV: &str = "DUETECTOR_EBPF__LOOK_INTERVAL";
const POLL: &str = "ebpf.poll_interval";

#[test]
fn an_old_name_is_accepted_in_each_layer_with_one_warning() {
    let (_folder, path) = file("[ebpf]\nlook_interval = \"50ms\"\n");
    let in_file = format!("{}:2", path.display());
    let in_env = format!("environment {OLD_ENV}");
    let layers = [
        (sources(Some(path.clone()), &[], &[]), in_file.clone()),
        (sources(None, &[(OLD_ENV, "50ms")], &[]), in_env.clone()),
        (sources(None, &[], &["ebpf.look_interval=50ms"]), "--set ebpf.look_interval=50ms".to_owned()),
    ];
    for (sources, origin) in layers {
        let loaded = load(&sources).unwrap();
        assert_eq!(shown(&loaded, POLL), ("\"50ms\"".to_owned(), origin.clone()));
        assert!(!effective(&loaded).iter().any(|setting| setting.key.contains("look_interval")));
        let expected = format!(
            "{origin}: ebpf.look_interval: is called ebpf.poll_interval now; the old name still works"
        );
        assert_eq!(warnings(&loaded), [expected]);
    }
    let all = sources(Some(path), &[(OLD_ENV, "60ms")], &["ebpf.look_interval=70ms"]);
    let loaded = load(&all).unwrap();
    assert_eq!(shown(&loaded, POLL).0, "\"70ms\"");
    let [warning] = &warnings(&loaded)[..] else { panic!("{:?}", loaded.warnings) };
    for origin in [in_file, in_env, "--set ebpf.look_interval=70ms".to_owned()] {
        assert!(warning.contains(&origin), "{warning}");
    }
}

#[test]
fn old_and_new_names_in_different_layers_override_each_other() {
    let (_folder, path) = file("[ebpf]\nlook_interval = \"50ms\"\n");
    let loaded = load(&sources(Some(path), &[("DUETECTOR_EBPF__POLL_INTERVAL", "60ms")], &[])).unwrap();
    assert_eq!(shown(&loaded, POLL).0, "\"60ms\"");
    let (_folder, path) = file("[ebpf]\npoll_interval = \"50ms\"\n");
    let loaded = load(&sources(Some(path), &[(OLD_ENV, "60ms")], &[])).unwrap();
    assert_eq!(shown(&loaded, POLL).0, "\"60ms\"");
}

#[test]
fn an_old_name_beside_the_new_one_is_refused_with_all_other_errors() {
    let (_folder, path) = file("[ebpf]\nlook_interval = \"50ms\"\npoll_interval = \"60ms\"\nqueue = \"x\"\n");
    let env = [(OLD_ENV, "1s"), ("DUETECTOR_EBPF__POLL_INTERVAL", "2s")];
    let set = ["ebpf.look_interval=1s", "ebpf.poll_interval=2s"];
    let found = load(&sources(Some(path.clone()), &env, &set)).unwrap_err().to_string();
    let path = path.display();
    for expected in [
        format!(
            "{path}:2: ebpf.look_interval: the old name of ebpf.poll_interval, which is set too ({path}:3): keep only ebpf.poll_interval"
        ),
        format!("environment {OLD_ENV}: ebpf.look_interval: the old name of"),
        "--set ebpf.look_interval=1s: ebpf.look_interval: the old name of".to_owned(),
        format!("{path}:4: ebpf.queue: expected a whole number"),
    ] {
        assert!(found.contains(&expected), "expected: {expected}\nfound: {found}");
    }
}

#[test]
fn problems_with_an_old_name_are_reported_where_it_stands() {
    let (_folder, path) = file("[ebpf]\n\nlook_interval = \"2h\"\n");
    let found = load(&sources(Some(path.clone()), &[], &[])).unwrap_err().to_string();
    assert!(
        found.contains(&format!("{}:3: ebpf.poll_interval: 2h is out of range", path.display())),
        "{found}"
    );
}

/// The `config` crate must leave names alone that its path expressions would split, and their case.
#[test]
fn names_are_taken_literally() {
    let (_folder, path) = file(
        "[tracer.template.sh.MyTool]\ncomm = [\"a\"]\n[tracer.template.sh.\"a.b[0]\"]\ncomm = [\"b\"]\n",
    );
    let set = ["tracer.template.sh.MyTool.interval=7s"];
    let found = load(&sources(Some(path), &[], &set)).unwrap().config.tracer.template.sh;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["MyTool", "a.b[0]"]);
    assert_eq!(found["MyTool"].interval.unwrap().to_string(), "7s");
    let (_folder, path) = file("\"a.b[0]\" = 1\n");
    let found = load(&sources(Some(path), &[], &[])).unwrap_err().to_string();
    assert!(found.contains(":1: a.b[0]: unknown key"), "{found}");
}

#[test]
fn a_list_and_an_empty_section_replace_as_a_whole_and_not_at_all() {
    let (_folder, path) = file("[ebpf]\nuids = [1, 2, 3]\n[tracer.open]\n[tracer.template.sp.x.config]\n");
    let set = ["ebpf.uids=[4]", "tracer.template.sp.x.comm=[\"c\"]"];
    let loaded = load(&sources(Some(path), &[], &set)).unwrap();
    assert_eq!(
        (loaded.config.ebpf.uids, loaded.config.tracer.kernel.of("open").name.as_str()),
        (vec![4], "open")
    );
    assert!(loaded.config.tracer.template.sp["x"].config.is_empty());
}

/// `config` has no dates, so they are texts.
#[test]
fn a_date_is_text() {
    let set = ["tracer.template.sp.x.comm=[\"c\"]", "tracer.template.sp.x.config.since=2026-01-01"];
    let config = loaded(&[], &set).config;
    assert_eq!(config.tracer.template.sp["x"].config["since"], serde_json::json!("2026-01-01"));
}
