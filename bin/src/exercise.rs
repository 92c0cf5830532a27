//! Input from outside, taken apart from plain bytes: what fuzzers (`cargo xtask fuzz`) and the short runs in the tests
//! feed. Each function panics where a promise is broken, and only there.

use std::path::Path;

use crate::config;

/// One kind of input: its name, and what is done with bytes of it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("config", configuration),
    ("dns", bpf_programs::dns::exercise),
    ("expression", expression),
    ("filter", filter),
    ("layout", layout),
    ("protocol", shell_monitor::exercise),
    ("wire", bpf_programs::exercise),
];

/// Puts `bytes` to the target of that name.
///
/// # Panics
/// Where a promise is broken; and if there is no such target.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.unwrap_or_else(|| panic!("no target {target}")).1(bytes);
}

/// An expression of filters and queries.
fn expression(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        model::expression::exercise(text);
    }
}

/// Filters as in a configuration file, a line of three dashes, and a record's fields as JSON.
fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (config, fields) = text.split_once("\n---\n").unwrap_or((text, "{}"));
    let Ok(config) = toml::from_str::<serde_json::Value>(config) else { return };
    let fields = serde_json::from_str(fields).unwrap_or_default();
    collector::filter::exercise(config, fields);
}

/// An object's type information, and a record.
fn layout(bytes: &[u8]) {
    bpf_programs::template::layout::fuzz::exercise(bytes);
}

/// A configuration file: it is refused with a place and a key for each thing that is wrong, or accepted; and then
/// what `config show` makes of it is accepted, too, and is the same.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let place = Path::new("fuzzed.toml");
    let loaded = match config::load_text(place, text) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let told = format!("{problems:#}");
            assert!(told.contains("fuzzed.toml:"), "without a place: {told}");
            return;
        }
    };
    let shown = config::to_toml(&config::effective(&loaded));
    let again = config::load_text(place, &shown).unwrap_or_else(|why| panic!("{why:#}\n{shown}"));
    assert_eq!(loaded.config, again.config, "{shown}");
}
