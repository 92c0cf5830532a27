//! Sets the same setting by file, environment and `--set`, each overriding the one before; `config show` prints what
//! runs.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::process::Command;

use serde_json::{Value, json};
use tests::workload::generate;
use tests::{Scratch, Setup, Store, binary, suite};

const DISABLED: &str = "DUETECTOR_TRACER__OPEN__DISABLED";
const NAME: &str = "DUETECTOR_TRACER__OPEN__NAME";

suite! {
    threads: 2;
    each_layer_wins_over_the_one_below: [];
    what_config_show_says_is_what_runs: [Kernel];
    disabled_means_not_there: [Kernel];
    the_generated_configuration_is_valid_and_changes_nothing: [];
    duetectors_names: [Kernel];
    an_old_name_is_accepted_at_start_and_at_reload: [Root]
}

/// Value and origin of a setting, as `config show` tells them.
fn show(key: &str, variables: &[(&str, &str)], options: &[&str]) -> (Value, String) {
    let mut command = Command::new(binary::agent());
    command.args(["config", "show", "--format", "json"]).args(options).envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = settings.as_array().unwrap().iter().find(|setting| setting["key"] == key);
    let found = found.unwrap_or_else(|| panic!("{key} is not shown: {settings}"));
    (found["value"].clone(), found["origin"].as_str().unwrap().to_owned())
}

fn each_layer_wins_over_the_one_below() {
    let scratch = Scratch::new();
    let file = scratch.file("config.toml", "[tracer.open]\ndisabled = true\nname = \"by_file\"\n");
    let file = ["--config", file.to_str().unwrap()];
    let env = [(DISABLED, "false"), (NAME, "by_env")];
    let set = ["--set", "tracer.open.disabled=true", "--set", "tracer.open.name=by_set"];
    let show = |key, variables: &[_], options: &[&[&str]]| show(key, variables, &options.concat());

    let (disabled, name) = ("tracer.open.disabled", "tracer.open.name");
    assert_eq!(show(disabled, &[], &[]), (json!(false), "default".to_owned()));
    assert_eq!(show(disabled, &[], &[&file]), (json!(true), format!("{}:2", file[1])));
    assert_eq!(show(name, &[], &[&file]), (json!("by_file"), format!("{}:3", file[1])));
    assert_eq!(show(disabled, &env, &[&file]), (json!(false), format!("environment {DISABLED}")));
    assert_eq!(show(name, &env, &[&file]), (json!("by_env"), format!("environment {NAME}")));
    assert_eq!(
        show(disabled, &env, &[&file, &set]),
        (json!(true), "--set tracer.open.disabled=true".to_owned())
    );
    assert_eq!(show(name, &env, &[&file, &set]).0, json!("by_set"));
    // A setting that nobody above it gives stays.
    assert_eq!(show(name, &env[..1], &[&file, &set[..2]]), (json!("by_file"), format!("{}:3", file[1])));
}

fn what_config_show_says_is_what_runs() {
    let scratch = Scratch::new();
    let file =
        scratch.file("config.toml", "[tracer.open]\nname = \"by_file\"\n[tracer.exec]\nname = \"ran\"\n");
    let config = ["--config", file.to_str().unwrap()];
    let layers: [(&str, Setup); 3] = [
        ("by_file", Setup::new().options(&config)),
        ("by_env", Setup::new().options(&config).variable(NAME, "by_env")),
        ("by_set", Setup::new().options(&config).variable(NAME, "by_env").set("tracer.open.name", "by_set")),
    ];
    for (name, setup) in layers {
        let agent = setup.start();
        let file = agent.scratch().file("opened", "");
        generate(9915, &["open", file.to_str().unwrap(), "--count", "23"]);
        let agent = agent.finish();
        let condition = format!("fname={}", file.display());
        assert_eq!(agent.store().query(name, &["uid=9915", &condition]).len(), 23, "{name}");
        let tracers: Vec<_> = agent.store().brief().into_iter().map(|account| account.tracer).collect();
        assert!(tracers.contains(&"ran".to_owned()) && !tracers.contains(&"open".to_owned()), "{tracers:?}");
    }
}

fn disabled_means_not_there() {
    let agent = Setup::new().variable(DISABLED, "true").set("ebpf.poll_interval", "'20ms'").start();
    let status = agent.status();
    let tracers: Vec<_> =
        status["tracers"].as_array().unwrap().iter().map(|tracer| tracer["tracer"].clone()).collect();
    assert!(!tracers.contains(&json!("open")) && tracers.contains(&json!("exec")), "{tracers:?}");
    generate(9914, &["spawn", "/bin/true", "--count", "23"]);
    let agent = agent.finish();
    assert_eq!(agent.store().query("exec", &["uid=9914", "comm=true"]).len(), 23);
    assert!(agent.store().brief().iter().all(|account| account.tracer != "open"));
}

fn the_generated_configuration_is_valid_and_changes_nothing() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path());
    let generated = store.run(&["config", "generate"]);
    assert!(generated.status.success());
    let file = scratch.file("config.toml", &generated.stdout);
    let with_it = store.run(&["config", "validate", "--config", file.to_str().unwrap()]);
    assert!(with_it.status.success(), "{}", String::from_utf8_lossy(&with_it.stderr));
    let values = |options: &[&str]| -> Vec<Value> {
        let shown = store.json(&[&["config", "show", "--format", "json"], options].concat());
        shown.as_array().unwrap().iter().map(|setting| json!([setting["key"], setting["value"]])).collect()
    };
    assert_eq!(values(&["--config", file.to_str().unwrap()]), values(&[]));
}

fn duetectors_names() {
    let file = binary::workspace().join("configs/duetector-compat.toml");
    let agent = Setup::new().options(&["--config", file.to_str().unwrap()]).start();
    let file = agent.scratch().file("opened", "");
    generate(9913, &["open", file.to_str().unwrap(), "--count", "23"]);
    generate(9913, &["spawn", "/bin/true", "--count", "1"]);
    generate(9913, &["connect", "--count", "1"]);
    let agent = agent.finish();
    let condition = format!("fname={}", file.display());
    assert_eq!(agent.store().query("do_sys_openat2", &["uid=9913", &condition]).len(), 23);
    assert_eq!(agent.store().query("tcp_v4_connect", &["uid=9913"]).len(), 1);
    assert!(!agent.store().query("__x64_sys_clone", &["uid=9913"]).is_empty());
}

fn an_old_name_is_accepted_at_start_and_at_reload() {
    let scratch = Scratch::new();
    let text = |interval: &str| format!("[ebpf]\ndisabled = true\nlook_interval = \"{interval}\"\n");
    let file = scratch.file("config.toml", text("50ms"));
    let agent = Setup::new().options(&["--config", file.to_str().unwrap()]).start();
    let warnings = || agent.stderr().matches("ebpf.look_interval: is called ebpf.poll_interval now").count();
    let running = || {
        let shown = agent.store().run(&["config", "show", "--running"]);
        String::from_utf8(shown.stdout).unwrap()
    };
    let reload = |text: String| {
        std::fs::write(&file, text).unwrap();
        let done = agent.store().run(&["reload"]);
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    assert!(running().contains("poll_interval = \"50ms\""), "{}", running());
    assert_eq!(warnings(), 1, "{}", agent.stderr());

    let (code, words) = reload(text("70ms"));
    assert_eq!(code, Some(0), "{words}");
    assert!(running().contains("poll_interval = \"70ms\""), "{}", running());
    assert_eq!(warnings(), 2, "{}", agent.stderr());

    let (code, words) = reload(text("70ms") + "poll_interval = \"80ms\"\n");
    assert_eq!(code, Some(2), "{words}");
    assert!(
        words.contains(":3: ebpf.look_interval: ") && words.contains("keep only ebpf.poll_interval"),
        "{words}"
    );
    assert!(running().contains("poll_interval = \"70ms\""), "{}", running());
    agent.finish();
}
