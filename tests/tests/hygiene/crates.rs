//! Rules about crates: which of ours may link which, that each uses what it declares, and which Rust version their
//! dependencies need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::binary::workspace;

use crate::{files, none, production};

/// The crates that are libraries: they never print.
pub(crate) const LIBRARIES: [&str; 9] = [
    "actors",
    "analyzer",
    "bpf-programs",
    "collector",
    "expression",
    "model",
    "server",
    "shell-monitor",
    "store",
];

/// Crates of this workspace that each crate may link. The package in `bin` is `duetector-actors`.
const ARROWS: [(&str, &[&str]); 12] = [
    ("actors", &["model"]),
    ("analyzer", &["expression", "model", "store"]),
    ("bpf-programs", &["actors", "model"]),
    ("collector", &["actors", "expression", "model", "store"]),
    ("duetector-actors", &LIBRARIES),
    ("expression", &["model"]),
    ("model", &[]),
    ("server", &["analyzer", "model"]),
    ("shell-monitor", &["actors", "model"]),
    ("store", &["model"]),
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

/// Returns whether the code names the crate: in a path, or as the whole of a `use`.
fn uses(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let is_path = after.starts_with("::") || (before.ends_with("use ") && after.starts_with([';', ' ']));
        is_path && !before.ends_with(is_part)
    })
}

/// Returns the code that may use a dependency of that kind: `None` for the crate's own, else `dev` or `build`.
fn code(folder: &Path, kind: Option<&str>) -> String {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    match kind {
        // The suites are what the crate `tests` is for.
        None if !folder.ends_with("tests") => {
            files(&folder.join("src"), ".rs").iter().map(|path| production(&text(path)).to_owned()).collect()
        }
        Some("build") => text(&folder.join("build.rs")),
        _ => files(folder, ".rs").iter().map(|path| text(path)).collect(),
    }
}

#[test]
fn nothing_declared_is_unused() {
    let metadata = cargo_metadata();
    let mut declared = BTreeSet::new();
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().unwrap().iter().filter(|one| one["source"].is_null()) {
        let (own, manifest) = (package["name"].as_str().unwrap(), package["manifest_path"].as_str().unwrap());
        let folder = Path::new(manifest).parent().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            declared.insert(name.to_owned());
            // A crate's own test kit is a dependency on itself.
            if name != own && !uses(&code(folder, dependency["kind"].as_str()), &name.replace('-', "_")) {
                complaints.push(format!("{own} declares {name} and does not use it there"));
            }
        }
    }
    let root = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let table = root.split("[workspace.dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let shared = table.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let unused = shared.filter(|name| !declared.contains(*name));
    complaints.extend(unused.map(|name| format!("the workspace declares {name} and no crate uses it")));
    none(complaints);
}

#[test]
fn a_crate_that_is_only_mentioned_is_not_used() {
    assert!(
        uses("let x = libc::open(a);", "libc") && uses("use libc;", "libc") && uses("use libc as c;", "libc")
    );
    assert!(!uses("// libc\nlet mylibc::y = 1;", "libc"));
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
