//! Shells complete words of the command line: they ask the program how a word goes on.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::process::Command;

use tests::{Scratch, binary, suite};

suite! {
    threads: 2;
    shells_complete_tracers_columns_tables_and_labels: [];
}

/// Returns the words that a shell offers.
fn completed(words: &[&str]) -> Vec<String> {
    let mut command = Command::new(binary::agent());
    command.env("COMPLETE", "fish").arg("--").arg("duetector-actors").args(words);
    let output = command.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

fn shells_complete_tracers_columns_tables_and_labels() {
    let has = |words: &[&str], expected: &str| {
        let found = completed(words);
        assert!(found.iter().any(|word| word == expected), "{words:?} offers {found:?}");
    };
    has(&["qu"], "query");
    has(&["query", "--tracer", "ren"], "rename");
    has(&["query", "--columns", "bytes_r"], "bytes_read");
    has(&["query", "--where", "loginu"], "loginuid=");
    has(&["sql", "--describe", "proc"], "processes");
    has(&["tracers", "disable", "us"], "usage");
    let scratch = Scratch::new();
    let config =
        scratch.file("agent.toml", "[label.customers]\nfiles = [\"/data/\"]\npurpose = \"billing\"\n");
    has(&["uses", "--config", config.to_str().unwrap(), "label:"], "label:customers");
    // A script that the shell runs at its start.
    let script = Command::new(binary::agent()).env("COMPLETE", "bash").output().unwrap();
    assert!(String::from_utf8_lossy(&script.stdout).contains("complete"), "{script:?}");
}
