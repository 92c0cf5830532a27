//! Rules about the code itself that no compiler checks: what may depend on what, how long files are, where
//! `unsafe` is, and that ARCHITECTURE.md names only what exists.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::binary::workspace;

/// Longest files; what comes after `mod tests` is not counted.
const RUST_LINES: usize = 400;
const BPF_LINES: usize = 200;
const ARCHITECTURE_LINES: usize = 200;
/// Files that may be longer, and why.
const LONGER: [(&str, usize); 2] = [
    // Everything unsafe has to be in this one.
    ("bpf-programs/src/wire.rs", 440),
    // Two hooks and two families, and what a socket's outcome needs between them.
    ("bpf-programs/src/connect/probe.bpf.c", 240),
];

/// What each crate may link of ours (DESIGN §3). `bin`'s package is `duetector-actors`.
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

/// The crates that are libraries: they never print.
const LIBRARIES: [&str; 6] = ["actors", "analyzer", "bpf-programs", "collector", "model", "shell-monitor"];

fn cargo_metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let output = Command::new(cargo).args(arguments).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every file below `folder` whose name ends so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git"].contains(&name.as_str()) {
                found.extend(files(&path, ending));
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every Rust file of the workspace, by its path in it, with its text.
fn rust_files() -> Vec<(String, String)> {
    let files = files(workspace(), ".rs").into_iter();
    let files: Vec<_> = files.map(|path| (relative(&path), fs::read_to_string(path).unwrap())).collect();
    assert!(files.len() > 50, "only {} Rust files found", files.len());
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap().display().to_string()
}

/// A file without its test module.
fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Fails with every complaint there is.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n  {}", complaints.join("\n  "));
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

/// How long that file may be.
fn limit(path: &str, usual: usize) -> usize {
    LONGER.iter().find(|(longer, _)| *longer == path).map_or(usual, |(_, lines)| *lines)
}

#[test]
fn files_and_their_heads() {
    let mut complaints = Vec::new();
    for (path, text) in rust_files() {
        let (lines, limit) = (production(&text).lines().count(), limit(&path, RUST_LINES));
        if lines > limit {
            complaints.push(format!("{path}: {lines} lines, at most {limit}"));
        }
        if !text.starts_with("//!") {
            complaints.push(format!("{path}: does not begin with what is here (`//!`)"));
        }
    }
    for path in files(workspace(), ".bpf.c") {
        let text = fs::read_to_string(&path).unwrap();
        let limit = limit(&relative(&path), BPF_LINES);
        if text.lines().count() > limit {
            complaints.push(format!("{}: more than {limit} lines", relative(&path)));
        }
        if !text.starts_with("// SPDX-License-Identifier:")
            && !text.starts_with("/* SPDX-License-Identifier:")
        {
            complaints.push(format!("{}: does not begin with its licence (SPDX)", relative(&path)));
        }
    }
    none(complaints);
}

#[test]
fn unsafe_is_in_one_module() {
    let mut complaints = Vec::new();
    for (path, text) in rust_files() {
        let code = |line: &&str| !line.trim_start().starts_with("//");
        let uses = text.lines().filter(code).any(|line| line.contains("unsafe ") && !line.contains('"'));
        if uses && !path.starts_with("bpf-programs/src/wire") {
            complaints.push(format!("{path} uses unsafe"));
        }
        if uses && !text.contains("// SAFETY:") {
            complaints.push(format!("{path} does not say why its unsafe is sound"));
        }
    }
    none(complaints);
}

#[test]
fn nothing_is_left_for_later_and_no_library_prints() {
    // Put together here, so that this file does not find itself.
    let later = ["TO", "FIX", "XX"].map(|start| start.to_owned()).into_iter().zip(["DO", "ME", "X"]);
    let later: Vec<_> = later.map(|(start, end)| start + end).collect();
    let mut complaints = Vec::new();
    for (path, text) in rust_files() {
        for word in &later {
            if text.contains(word.as_str()) {
                complaints.push(format!("{path}: {word}"));
            }
        }
        if text.contains(&["#[", "ignore"].concat()) {
            complaints.push(format!("{path}: an ignored test"));
        }
        let library = LIBRARIES.iter().any(|library| path.starts_with(&format!("{library}/src/")));
        let prints = ["println!", "print!(", "eprint!(", "dbg!("];
        let code = || production(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
        if library && code().any(|line| prints.iter().any(|print| line.contains(print))) {
            complaints.push(format!("{path}: a library prints"));
        }
    }
    none(complaints);
}

#[test]
fn each_kernel_tracer_has_its_folder_and_its_reasons() {
    let source = workspace().join("bpf-programs/src");
    let mut tracers = 0;
    let mut complaints = Vec::new();
    for program in files(&source, "probe.bpf.c") {
        let folder = program.parent().unwrap();
        let Ok(text) = fs::read_to_string(folder.join("mod.rs")) else {
            complaints.push(format!("{}: no mod.rs", relative(folder)));
            continue;
        };
        tracers += 1;
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for heading in ["**Hook", "**Kernel", "**Cost"] {
            if !head.contains(heading) {
                complaints.push(format!("{}/mod.rs: no {heading}**", relative(folder)));
            }
        }
    }
    assert!(tracers >= 5, "only {tracers} kernel tracers");
    none(complaints);
}

#[test]
fn each_bpf_hash_map_says_why_it_is_one() {
    // Rings, counters and settings explain themselves; a hash map costs the most and can fill up.
    let mut maps = 0;
    let mut complaints = Vec::new();
    let folder = workspace().join("bpf-programs");
    for path in [files(&folder, ".bpf.c"), files(&folder, ".h")].concat() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("SEC(\".maps\")")) {
            let struct_at =
                (0..=index).rev().find(|at| lines[*at].trim_start().starts_with("struct")).unwrap_or(index);
            if !lines[struct_at..index].iter().any(|line| line.contains("HASH")) {
                continue;
            }
            maps += 1;
            let above = struct_at.checked_sub(1).map_or("", |at| lines[at].trim());
            if !(above.ends_with("*/") || above.starts_with("//")) {
                complaints.push(format!(
                    "{}:{}: no reason above {}",
                    relative(&path),
                    index + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(maps >= 2, "only {maps} hash maps found");
    none(complaints);
}

#[test]
fn the_architecture_names_only_what_exists() {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= ARCHITECTURE_LINES, "more than {ARCHITECTURE_LINES} lines");
    let code: String = rust_files().into_iter().map(|(_, text)| text).collect();
    let mut complaints = Vec::new();
    // Every second piece between back-ticks is quoted.
    let quoted: Vec<_> = text.split('`').skip(1).step_by(2).collect();
    for word in &quoted {
        let is_path =
            word.contains('/') && !word.contains(['<', '*', ' ', '{', ':', '@']) && !word.starts_with('/');
        if is_path && !workspace().join(word).exists() {
            complaints.push(format!("there is no {word}"));
        }
        if let Some(test) = word.strip_suffix("()")
            && !code.contains(&format!("fn {test}("))
        {
            complaints.push(format!("there is no test {test}"));
        }
    }
    let invariants = text.lines().filter(|line| line.starts_with("**Invariant")).count();
    assert!(invariants >= 8, "only {invariants} invariants");
    for paragraph in text.split("\n\n").filter(|paragraph| paragraph.starts_with("**Invariant")) {
        if !paragraph.contains("()`") {
            complaints.push(format!("an invariant names no test: {paragraph:.80}"));
        }
    }
    none(complaints);
}
