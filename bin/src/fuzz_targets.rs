//! The fuzz targets: functions that feed plain bytes to code that reads untrusted input. `cargo xtask fuzz` runs them
//! guided by coverage; the tests run each for about a second. A target panics if, and only if, the code under test
//! violates a documented property.

use std::path::Path;

use crate::config;

/// The name of a kind of input, and the function that feeds bytes of that kind to the code under test.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzz targets.
pub const TARGETS: [Target; 7] = [
    ("config", configuration),
    bpf_programs::FUZZ_TARGETS[0],
    ("expression", expression),
    ("filter", filter),
    bpf_programs::FUZZ_TARGETS[1],
    ("protocol", shell_monitor::fuzz_target),
    bpf_programs::FUZZ_TARGETS[2],
];

/// Runs the target of that name on `bytes`.
///
/// # Panics
/// Panics if a documented property is violated, and if there is no such target.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.unwrap_or_else(|| panic!("no target {target}")).1(bytes);
}

/// Compiles the bytes as an expression of a filter or query.
fn expression(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        expression::fuzz_target(text);
    }
}

/// Applies filters to a record. The bytes hold filters as in a configuration file, a line of three dashes, and the
/// fields of the record as JSON.
fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (config, fields) = text.split_once("\n---\n").unwrap_or((text, "{}"));
    let Ok(config) = toml::from_str::<serde_json::Value>(config) else { return };
    let fields = serde_json::from_str(fields).unwrap_or_default();
    collector::filter::fuzz_target(config, fields);
}

/// Loads the bytes as a configuration file. The file is either refused with the file's name and line for the problems, or
/// accepted; then the output of `config show` is accepted as well and means the same.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("fuzzed.toml");
    let loaded = match config::load_text(file, text) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let text = format!("{problems:#}");
            assert!(text.contains("fuzzed.toml:"), "no file and line in: {text}");
            return;
        }
    };
    let shown = config::to_toml(&config::effective(&loaded));
    let again = config::load_text(file, &shown).unwrap_or_else(|why| panic!("{why:#}\n{shown}"));
    assert_eq!(loaded.config, again.config, "{shown}");
}
