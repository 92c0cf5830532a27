//! Rules about crates: which of ours may link which, and which Rust version their dependencies need.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use tests::binary::workspace;

use crate::none;

/// Crates of this workspace that each crate may link. The package in `bin` is `duetector-actors`.
const ARROWS: [(&str, &[&str]); 9] = [
    ("actors", &["model"]),
    ("analyzer", &["model"]),
    ("bpf-programs", &["actors", "model"]),
    ("collector", &["actors", "model"]),
    ("duetector-actors", &["actors", "analyzer", "bpf-programs", "collector", "model", "shell-monitor"]),
    ("model", &[]),
    ("shell-monitor", &["actors", "model"]),
    ("tests", &[]),
    ("xtask", &[]),
];

fn cargo_metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let output = Command::new(cargo).args(arguments).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn crates_link_only_what_the_design_lets_them() {
    let metadata = cargo_metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let ours: BTreeSet<&str> = allowed.keys().copied().collect();
    let mut seen = BTreeSet::new();
    for package in packages.iter().filter(|package| package["source"].is_null()) {
        let name = package["name"].as_str().unwrap();
        let expected = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the design"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            // A crate's own test kit is a dependency on itself.
            if ours.contains(other) && other != name {
                assert!(expected.contains(&other), "{name} must not link {other}");
            }
        }
        seen.insert(name);
    }
    assert_eq!(seen, ours);
}

#[test]
fn the_promised_rust_version_is_enough_for_every_dependency() {
    let metadata = cargo_metadata();
    let version = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let packages = metadata["packages"].as_array().unwrap().iter();
    let (ours, others): (Vec<_>, Vec<_>) = packages.partition(|package| package["source"].is_null());
    let promised = version(ours[0]["rust_version"].as_str().unwrap());
    let newer = others.into_iter().filter(|package| {
        package["rust_version"].as_str().is_some_and(|needed| version(needed)[..2] > promised[..2])
    });
    none(
        newer.map(|package| format!("{} needs Rust {}", package["name"], package["rust_version"])).collect(),
    );
}
