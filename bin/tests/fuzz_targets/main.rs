//! Runs each fuzz target for about a second: on its seeds, then on mutations of them, the same in every run. Long runs
//! guided by coverage are started with `cargo xtask fuzz`.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod mutate;

use std::fs;
use std::path::{Path, PathBuf};

use duetector_actors::fuzz_targets::{self, TARGETS};
use mutate::Mutator;

/// Seed of the mutations.
const SEED: u64 = 0x6475_6574;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

/// Returns all files below a folder with their contents, in a fixed order.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut seeds = files(&fuzz_folder().join("seeds").join(target));
    if target == "config" {
        let configs = files(&fuzz_folder().join("../../configs"));
        seeds.extend(
            configs.into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "toml")),
        );
    }
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}

/// Runs the target on every seed, then on N mutations.
fn short_run(target: &str, mutations: usize) {
    let seeds = seeds(target);
    for (path, bytes) in &seeds {
        run_one(target, bytes, &path.display().to_string());
    }
    let words =
        mutate::dictionary(&fs::read_to_string(fuzz_folder().join("dictionaries").join(target)).unwrap());
    let inputs: Vec<_> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutator = Mutator::new(SEED, inputs, words);
    for number in 0..mutations {
        let bytes = mutator.next();
        run_one(target, &bytes, &format!("mutation {number}"));
    }
}

/// Runs the target on one input. If it panics, the test fails and shows the input, which can be added to the seeds.
fn run_one(target: &str, bytes: &[u8], what: &str) {
    let run = std::panic::catch_unwind(|| fuzz_targets::run(target, bytes));
    assert!(run.is_ok(), "{target}, {what}: {}", bytes.escape_ascii());
}

#[test]
fn config() {
    short_run("config", 150);
}

#[test]
fn expression() {
    short_run("expression", 2_000);
}

#[test]
fn filter() {
    short_run("filter", 1_000);
}

#[test]
fn layout() {
    short_run("layout", 3_000);
}

#[test]
fn dns() {
    short_run("dns", 20_000);
}

#[test]
fn protocol() {
    short_run("protocol", 3_000);
}

#[test]
fn wire() {
    short_run("wire", 20_000);
}

#[test]
fn every_fuzz_target_has_a_short_run_a_long_run_and_a_dictionary() {
    let own =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_targets/main.rs")).unwrap();
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        assert!(own.contains(&format!("short_run(\"{target}\"")), "{target} has no short run");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} has no long run");
        assert!(fuzz_folder().join("dictionaries").join(target).is_file(), "{target} has no dictionary");
    }
}
