//! Shell and subprocess tracers of one's own, from nothing but their TOML, through the commands a person uses.

#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Agent, Setup, suite, until};

const DEADLINE: Duration = Duration::from_secs(30);

suite! {
    threads: 2;
    the_cache_is_shown_replaced_and_cleared: []
}

/// The agent with these templates and no other tracers.
fn agent(folder: &Path, templates: &str) -> Setup {
    let file = folder.join("config.toml");
    fs::write(&file, templates).unwrap();
    let setup = Setup::new().set("ebpf.disabled", "true").set("tracer.uname.disabled", "true");
    setup.options(&["--config", file.to_str().unwrap()])
}

/// Waits until so many records of a tracer are stored.
fn stored(agent: &Agent, tracer: &str, count: u64) {
    until(&format!("{count} records of {tracer}"), DEADLINE, || {
        (agent.tracer(tracer)["stored"].as_u64()? >= count).then_some(())
    });
}

fn the_cache_is_shown_replaced_and_cleared() {
    let scratch = tests::Scratch::new();
    let log = scratch.file("log", "one\ntwo\n");
    let template = format!(
        "[tracer.template.sh.log]\ncomm = [\"cat\", {log:?}]\nparse = \"lines\"\ninterval = \"50ms\"\n\
         [tracer.template.sp.child]\ncomm = [\"cat\"]\n"
    );
    let agent = agent(scratch.path(), &template).start();
    stored(&agent, "log", 2);
    let cache = |more: &[&str]| {
        agent.store().json(&[&["tracers", "cache", "log", "--format", "json"], more].concat())
    };
    assert_eq!(cache(&[]), json!({"tracer": "log", "output": "one\ntwo\n"}));
    let plain = agent.store().run(&["tracers", "cache", "log"]);
    assert_eq!(String::from_utf8(plain.stdout).unwrap(), "one\ntwo\n");
    // As if the last run had not shown the first line, then as if there had been none.
    let other = scratch.file("other", "two\n");
    cache(&["--load", other.to_str().unwrap()]);
    stored(&agent, "log", 3);
    cache(&["--clear"]);
    stored(&agent, "log", 5);
    for (tracer, told) in [("child", "only shell tracers have a cache"), ("none", "no shell tracer \"none\"")]
    {
        let refused = agent.store().run(&["tracers", "cache", tracer]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(told), "{refused:?}");
    }
    let agent = agent.finish();
    let rows = agent.store().query("log", &[]);
    let lines: Vec<&Value> = rows.iter().map(|row| &row["extended"]["line"]).collect();
    assert_eq!(lines, ["one", "two", "one", "one", "two"]);
}
