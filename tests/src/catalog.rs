//! The list of tracers, as the agent itself prints it: a list kept by hand would miss the next one.

use crate::{Scratch, Store};

/// The built-in kernel tracers, whether anything runs or not.
///
/// # Panics
/// If the agent doesn't say.
pub fn kernel_tracers() -> Vec<String> {
    let scratch = Scratch::new();
    let listed = Store::at(scratch.path().join("nothing")).json(&["tracers", "--format", "json"]);
    let all = listed.as_array().expect("`tracers` printed no list");
    let kernel = all.iter().filter(|tracer| tracer["kind"] == "ebpf");
    let names: Vec<_> = kernel.filter_map(|tracer| tracer["name"].as_str()).map(str::to_owned).collect();
    let known = ["open", "exec", "clone", "exit", "connect"];
    assert!(known.iter().all(|name| names.iter().any(|found| found == name)), "{listed}");
    names
}

/// These and `uname`: all that is there without a line of configuration.
///
/// # Panics
/// If the agent doesn't say.
pub fn built_in() -> Vec<String> {
    let mut all = kernel_tracers();
    all.push("uname".to_owned());
    all
}
