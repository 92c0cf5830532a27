//! The zoo: C structs made up at random, laid out by clang, filled by C, read by us. Whatever C reads from a
//! struct's bytes, the decoder has to read too.
//!
//! The normal run has a fixed seed. `RECORD_ZOO_SEED=n` and `RECORD_ZOO_STRUCTS=n` look further.

mod animal;
mod cage;
mod compare;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use bpf_programs::template::layout::{Clocks, Hints, Types};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::clang::clang;
use animal::Record;

/// A struct as C saw it: its bytes, and its leaves by their place in [`cage::leaves`].
struct Seen {
    bytes: Vec<u8>,
    leaves: Vec<String>,
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

fn animals(count: u64) -> Vec<Record> {
    let seed = RngSeed::Fixed(setting("RECORD_ZOO_SEED", 23));
    let mut runner = TestRunner::new(Config { rng_seed: seed, ..Config::default() });
    let strategy = animal::record();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Compiles and runs the C that fills and shows them.
fn shown(source: &Path, folder: &Path) -> HashMap<usize, Seen> {
    let program = folder.join("zoo");
    clang(&["-O0", "-w", "-fsigned-char"], source, &program);
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "the zoo's program ended with {}", output.status);
    let mut seen = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut words = line.split(' ');
        let index = words.next().unwrap().parse().unwrap();
        let bytes = compare::unhex(words.next().unwrap());
        seen.insert(index, Seen { bytes, leaves: words.map(str::to_owned).collect() });
    }
    seen
}

#[test]
fn the_decoder_reads_what_c_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (source, object) = (folder.path().join("zoo.c"), folder.path().join("zoo.o"));
    let animals = animals(setting("RECORD_ZOO_STRUCTS", 1000));
    let cages: Vec<_> =
        animals.iter().enumerate().map(|(index, record)| cage::build(index, record)).collect();
    std::fs::write(&source, cage::program(&cages)).unwrap();
    clang(&["-target", "bpf", "-g", "-O2", "-w", "-DTYPES_ONLY", "-c"], &source, &object);
    let types = Types::of_object(&std::fs::read(&object).unwrap()).unwrap();
    let seen = shown(&source, folder.path());
    assert_eq!(seen.len(), cages.len());
    let (mut leaves, mut complaints) = (0, Vec::new());
    for (index, cage) in cages.iter().enumerate() {
        let seen = &seen[&index];
        assert_eq!(seen.leaves.len(), cage.leaves.len());
        let layout = match types.record(Some(&format!("struct zoo{index}")), &Hints::default()) {
            Ok(layout) => layout,
            Err(error) => {
                complaints.push(format!("{error}\n{}", cage.declaration));
                continue;
            }
        };
        assert_eq!(layout.size(), seen.bytes.len(), "size of\n{}", cage.declaration);
        let fields = serde_json::Value::Object(layout.decode(&seen.bytes, &Clocks::default()).unwrap());
        for (leaf, expected) in cage.leaves.iter().zip(&seen.leaves) {
            leaves += 1;
            if let Err(why) = compare::leaf(leaf, expected, &fields) {
                complaints.push(format!("{}: {why}\n{}", leaf.c, cage.declaration));
            }
        }
        assert_eq!(compare::count(&fields), cage.shown(), "fields of\n{}", cage.declaration);
    }
    let shortest = complaints.iter().min_by_key(|complaint| complaint.len());
    assert!(complaints.is_empty(), "{} wrong, the shortest:\n{}", complaints.len(), shortest.unwrap());
    assert!(leaves > cages.len() * 5, "only {leaves} leaves");
}
