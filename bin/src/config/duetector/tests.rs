//! Tests with whole files of duetector's: the packaged template, each of its settings, and bad files; and that an
//! imported file gives the same configuration.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::{Config, Loaded, Sources, effective, import, load};
use super::rules::{RULES, Rule};
use super::shape::Shape;
use super::{Warning, to_toml};

/// Duetector's packaged configuration template.
const STOCK: &str = include_str!("stock.toml");

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("duetector.toml");
    std::fs::write(&path, text).unwrap();
    File { _folder: folder, path }
}

fn try_load(text: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Loaded, String> {
    let file = file(text);
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let set = set.iter().map(|argument| (*argument).to_owned()).collect();
    let loaded = load(&Sources { file: Some(file.path.clone()), env, set, trusted_only: false });
    // The folder has a random name.
    loaded.map_err(|error| error.to_string().replace(file.path.to_str().unwrap(), "F"))
}

fn loaded(text: &str) -> Loaded {
    try_load(text, &[], &[]).unwrap()
}

fn config(text: &str) -> Config {
    loaded(text).config
}

fn warned(text: &str) -> Vec<String> {
    loaded(text).warnings.iter().map(|warning: &Warning| warning.key.join(".")).collect()
}

/// Loads the translation that `config import` prints.
fn imported(text: &str) -> (Config, String) {
    let theirs = file(text);
    let text = to_toml(&import(&theirs.path).unwrap());
    let ours = file(&text);
    let loaded = load(&Sources { file: Some(ours.path), ..Sources::default() })
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(loaded.warnings.is_empty());
    (loaded.config, text)
}

#[test]
fn the_packaged_template_works_as_it_is() {
    let config = config(STOCK);
    let kernel = &config.tracer.kernel;
    for (tracer, name) in
        [("open", "do_sys_openat2"), ("clone", "__x64_sys_clone"), ("connect", "tcp_v4_connect")]
    {
        assert_eq!((kernel.of(tracer).name.as_str(), kernel.of(tracer).disabled), (name, false));
    }
    assert!(kernel.of("exec").disabled && kernel.of("exit").disabled);
    let store = std::env::current_dir().unwrap().join("duetector-dbcollector.sqlite3");
    assert_eq!(config.collector.sqlite.path, store.to_str().unwrap());
    assert!(config.collector.store.disabled && !config.collector.sqlite.disabled);
    let pattern = &config.filter.0["pattern"];
    assert_eq!(pattern.excludes["exclude_uid"], serde_json::json!([0]));
    assert_eq!(pattern.excludes["re_exclude_fname"].as_array().unwrap().len(), 7);
    assert!(config.filter.0["system"].disabled);
    assert_eq!((config.shell.interval.to_string(), config.subprocess.restart_times), ("500ms".to_owned(), 0));
    assert!(config.collector.memory.disabled && !config.ebpf.disabled && !config.ebpf.strict);
}

#[test]
fn each_setting_without_equivalent_gives_one_warning() {
    let mut keys = warned(STOCK);
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
    let expected = [
        "analyzer.include_extension",
        "collector.dbcollector.backend_args.max_workers",
        "collector.include_extension",
        "filter.include_extension",
        "injector.include_extension",
        "injector.k8sinjector.disabled",
        "monitor.bcc.backend_args.max_workers",
        "monitor.sh.backend_args.max_workers",
        "monitor.subprocess.backend_args.max_workers",
        "monitor.subprocess.bufsize",
        "monitor.subprocess.pool_size",
        "tracer.clonetracer.poll_timeout",
        "tracer.include_extension",
        "tracer.opentracer.poll_timeout",
        "tracer.tcpconnecttracer.poll_timeout",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn a_warning_names_the_setting_its_origin_and_a_reason() {
    let loaded = loaded("[monitor.sh]\n\nauto_init = false\n[tracer.mine]\nx = 1\n");
    let lines: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(lines[0].ends_with(
        "duetector.toml:3: monitor.sh.auto_init: has no equivalent and is ignored: tracers start with the agent: \
         disable those that should not run"
    ));
    assert!(lines[1].ends_with(
        "duetector.toml:5: tracer.mine.x: has no equivalent and is ignored: not a known setting of duetector"
    ));
    assert_eq!(lines.len(), 2);
}

/// A file of duetector's, a setting of ours, and the value of that setting.
const BECOMES: [(&str, &str, &str); 24] = [
    ("[filter]\ndisabled = true", "filter.pattern.disabled", "true"),
    (
        "[filter.patternfilter]\ndisabled = true\n[filter]\ndisabled = false",
        "filter.pattern.disabled",
        "true",
    ),
    ("[filter.patternfilter]\nignore_current_pid = false", "filter.pattern.ignore_current_pid", "false"),
    (
        "[filter.patternfilter]\nenable_customize_exclude = 0",
        "filter.pattern.enable_customize_exclude",
        "false",
    ),
    ("[filter.patternfilter]\nexclude_uid = \"1000\"", "filter.pattern.exclude_uid", "\"1000\""),
    ("[filter.patternfilter]\nre_exclude_output = [\"x\"]", "filter.pattern.re_exclude_output", "[\"x\"]"),
    ("[tracer]\ndisabled = true", "tracer.template.disabled", "true"),
    ("[tracer.opentracer]\ndisabled = true", "tracer.open.disabled", "true"),
    ("[tracer.tcpconnecttracer]\ndisabled = true", "tracer.connect.disabled", "true"),
    ("[tracer.unametracer]\nenable_cache = false", "tracer.uname.enable_cache", "false"),
    ("[collector]\ndisabled = true", "collector.sqlite.disabled", "true"),
    ("[collector.dbcollector]\nstatis_id = \"Host\"", "collector.id", "\"Host\""),
    ("[collector.dbcollector.db.engine]\nurl = \"sqlite:////a/b\"", "collector.sqlite.path", "\"/a/b\""),
    ("[collector.dequecollector]\ndisabled = false", "collector.memory.disabled", "false"),
    ("[collector.dequecollector]\nmaxlen = 7", "collector.memory.maxlen", "7"),
    ("[monitor.bcc]\ndisabled = true", "ebpf.disabled", "true"),
    ("[monitor.bcc]\ncontinue_on_exception = false", "ebpf.strict", "true"),
    ("[monitor.bcc.poller]\ninterval_ms = 50", "ebpf.poll_interval", "\"50ms\""),
    ("[monitor.sh]\ntimeout = 2", "shell.timeout", "\"2s\""),
    ("[monitor.sh.poller]\ninterval_ms = 2000", "tracer.uname.interval", "\"2s\""),
    ("[monitor.subprocess]\nkill_timeout = 1.5", "subprocess.kill_timeout", "\"1500ms\""),
    ("[monitor.subprocess]\ntimeout = 0.02", "subprocess.poll_time", "\"20ms\""),
    ("[monitor.subprocess]\nrestart_times = 4", "subprocess.restart_times", "4"),
    ("[MONITOR.Subprocess.POLLER]\nInterval_MS = 100", "subprocess.poll_interval", "\"100ms\""),
];

#[test]
fn each_setting_is_translated() {
    for (text, key, expected) in BECOMES {
        let settings = effective(&loaded(text));
        let found = settings.iter().find(|setting| setting.key == key).unwrap();
        assert_eq!(found.value.to_string(), expected, "{text}");
    }
}

#[test]
fn templates_in_duetectors_format_are_translated() {
    let text = "[monitor.sh]\n[tracer.template.sh]\n\
                PsTracer = { comm = [\"ps\", \"-aux\"], config = { Enable_Cache = false }, extra = 1 }\n\
                off = { comm = \"true\", config = { disabled = true } }\n\
                [tracer.template.sp]\n\
                mine = { comm = [\"prog\"], config = { depth = { Deep = 3 } } }\n\
                clean = { comm = [\"prog\"], preserve_env = false }\n";
    // An empty section asks for nothing; a file with templates only would be in our format.
    let loaded = loaded(&text.replace("[monitor.sh]\n", "[monitor.sh]\ntimeout = 5\n"));
    let template = &loaded.config.tracer.template;
    assert_eq!((template.sh["pstracer"].comm.len(), template.sh["pstracer"].enable_cache), (2, Some(false)));
    assert_eq!((template.sh["off"].comm.len(), template.sh["off"].disabled), (1, true));
    assert_eq!(serde_json::json!(template.sp["mine"].config), serde_json::json!({"depth": {"deep": 3}}));
    // As in duetector, which ignores its own default for it.
    assert!(template.sp["mine"].preserve_env && !template.sp["clean"].preserve_env);
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].key.join("."), "tracer.template.sh.pstracer.extra");
}

#[test]
fn settings_in_disabled_sections_ask_for_nothing() {
    assert_eq!(warned("[collector.otelcollector]\nexporter = \"console\"\n"), [""; 0]);
    let keys = warned("[collector.otelcollector]\ndisabled = false\nexporter = \"console\"\n");
    assert_eq!(keys, ["collector.otelcollector.disabled", "collector.otelcollector.exporter"]);
    let off = "[collector.dbcollector]\ndisabled = \"true\"\n[collector.dbcollector.db.engine]\nurl = \"mysql://x\"\n";
    assert!(config(off).collector.sqlite.disabled);
    assert!(warned(off).is_empty());
}

#[test]
fn the_environment_overrides_the_file_in_either_format() {
    let text = "[Filter.PatternFilter]\nExclude_UID = [5]\n[collector.dbcollector]\nstatis_id = \"file\"\n";
    let env = [
        ("DUETECTOR_FILTER__PATTERNFILTER__EXCLUDE_UID", "1000"),
        ("DUETECTOR_FILTER__PATTERNFILTER__DISABLED", "false"),
        ("DUETECTOR_COLLECTOR__DBCOLLECTOR__STATIS_ID", "theirs"),
        ("DUETECTOR_TRACER__EXEC__DISABLED", "false"),
        ("DUETECTOR_LOG_LEVEL", "DEBUG"),
    ];
    let config = try_load(text, &env, &["collector.id=set"]).unwrap().config;
    assert_eq!(config.filter.0["pattern"].excludes["exclude_uid"], serde_json::json!(1000));
    assert!(!config.filter.0["pattern"].disabled && !config.tracer.kernel.of("exec").disabled);
    assert_eq!(config.collector.id, "set");
    assert_eq!(try_load(text, &env, &[]).unwrap().config.collector.id, "theirs");
}

#[test]
fn the_format_of_a_file_is_recognised() {
    let theirs = |text: &str| config(text).tracer.kernel.of("open").name == "do_sys_openat2";
    for text in [
        "[monitor.sh]\ntimeout = 5",
        "[Server]\nToken = \"\"",
        "[filter.patternfilter]\nexclude_uid = [1]",
        "[tracer]\ndisabled = false",
    ] {
        assert!(theirs(text), "{text}");
    }
    for text in [
        "",
        "[ebpf]\nqueue = 3",
        "[tracer.template.sh]\nx = { comm = [\"true\"] }",
        "[filter.patternfilter]\nkind = \"patternfilter\"\nexclude_uid = [1]",
        "[filter.patternfilter]\nexclude_uid = [1]\n[tracer.open]\ndisabled = false",
    ] {
        assert!(!theirs(text), "{text}");
    }
}

#[test]
fn bad_input_is_reported_with_its_origin() {
    let table = [
        (
            "[ebpf]\nqueue = 3\n[monitor.sh]\ntimeout = 5\n",
            "F: settings of duetector's, like monitor.sh.timeout (F:4), and of ours, like ebpf.queue (F:2), in one file: \
             use one format only",
        ),
        (
            "[collector.dbcollector.db.engine]\nurl = \"postgresql://u:secret@h/db\"\n",
            "F:2: collector.dbcollector.db.engine.url: a database of kind \"postgresql\": only SQLite files",
        ),
        ("[filter]\ndisabled = \"maybe\"\n", "F:2: filter.disabled: expected true or false, found \"maybe\""),
        (
            "[monitor.sh]\ntimeout = \"soon\"\n",
            "F:2: monitor.sh.timeout: expected a number of seconds, found \"soon\"",
        ),
        (
            "[filter.patternfilter]\nre_exclude_fname = [\"(\"]\n",
            "F:2: filter.pattern.re_exclude_fname[0]: \"(\" is no pattern",
        ),
        (
            "[collector.dbcollector]\nstatis_id = \"a@b\"\n",
            "F:2: collector.id: \"a@b\" can't be part of a table's name",
        ),
        (
            "[tracer.template.sp]\nx = { config = { a = 1 } }\n[server]\ntoken = \"\"\n",
            "tracer.template.sp.x.comm",
        ),
        (
            "[monitor.subprocess]\nrestart_times = -1\n",
            "F:2: monitor.subprocess.restart_times: expected a whole number",
        ),
    ];
    for (text, expected) in table {
        let error = try_load(text, &[], &[]).unwrap_err();
        assert!(error.contains(expected), "expected: {expected}\nfound: {error}");
        assert!(!error.contains("secret"));
    }
    // All of it at once.
    let error =
        try_load("[filter]\ndisabled = \"maybe\"\n[monitor.sh]\ntimeout = \"soon\"\n", &[], &[]).unwrap_err();
    assert!(error.contains("F:2: ") && error.contains("F:4: "), "{error}");
}

#[test]
fn the_imported_template_gives_the_same_configuration() {
    let (config, text) = imported(STOCK);
    assert_eq!(config, self::config(STOCK));
    assert!(text.contains("name = \"do_sys_openat2\"  # duetector's default"), "{text}");
    assert!(text.contains("timeout = \"5s\"  # monitor.sh.timeout"), "{text}");
    let ours = file("[ebpf]\nqueue = 3\n");
    let refused = import(&ours.path).unwrap_err().to_string();
    assert!(refused.contains("none of duetector's own settings is in it"), "{refused}");
}

/// Generates values that a setting of that shape can have.
fn value(shape: Shape) -> BoxedStrategy<String> {
    match shape {
        Shape::Truth | Shape::Untruth => {
            prop_oneof![Just("true"), Just("false"), Just("\"False\""), Just("1")]
                .prop_map(str::to_owned)
                .boxed()
        }
        Shape::Whole => (1..1000i64).prop_map(|number| number.to_string()).boxed(),
        Shape::Millis { .. } => (1..100_000i64).prop_map(|number| number.to_string()).boxed(),
        Shape::Seconds { .. } => (0.01..100.0f64).prop_map(|number| format!("{number:.3}")).boxed(),
        Shape::Text => {
            "[a-z][a-z0-9 #\\\\-]{0,8}".prop_map(|text| toml::Value::from(text).to_string()).boxed()
        }
        Shape::Words => Just("[\"prog\", \"a b\"]".to_owned()).boxed(),
        Shape::Store => "[a-z]{1,8}".prop_map(|name| format!("\"sqlite:///{name}\"")).boxed(),
        Shape::Any => prop_oneof![
            Just("[1, 2]".to_owned()),
            Just("['/x', 'y']".to_owned()),
            Just("\"a, b\"".to_owned())
        ]
        .boxed(),
    }
}

/// Generates files with a random selection of the settings that are kept.
fn settings() -> impl Strategy<Value = String> {
    let kept = RULES.iter().filter_map(|(pattern, rule)| match rule {
        Rule::Is(_, shape) => {
            let key = pattern
                .replace("config.**", "config.depth")
                .replace("exclude_*", "exclude_comm")
                .replace('*', "x");
            Some(
                proptest::option::weighted(0.3, value(*shape))
                    .prop_map(move |value| Some(format!("{key} = {}\n", value?))),
            )
        }
        _ => None,
    });
    kept.collect::<Vec<_>>().prop_map(|lines| {
        let mut text: String = lines.into_iter().flatten().collect();
        text.push_str("server.token = \"\"\n");
        for kind in ["sh", "sp"] {
            if text.contains(&format!(".{kind}.x.")) && !text.contains(&format!(".{kind}.x.comm")) {
                text.push_str(&format!("tracer.template.{kind}.x.comm = [\"prog\"]\n"));
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_imported_file_gives_the_same_configuration(text in settings()) {
        prop_assume!(try_load(&text, &[], &[]).is_ok());
        let (config, translated) = imported(&text);
        prop_assert_eq!(config, self::config(&text), "{}", translated);
    }
}
