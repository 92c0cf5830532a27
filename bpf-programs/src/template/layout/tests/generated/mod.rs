//! Random C structs, laid out by clang, filled by C, and decoded: the decoder has to read what C reads.
//!
//! ```text
//! structs.rs ──► c_source.rs ──► C ──clang -target bpf──► types ──► layout ──┐
//!                                └──clang──► program ──► bytes ──────────────┴─► decoded ─┐
//!                                                   └──► values read by C ────────────────┴─► compared
//! ```
//!
//! The normal run has a fixed seed. `RECORD_STRUCTS_SEED=n` and `RECORD_STRUCTS_COUNT=n` change seed and
//! number.

mod c_source;
mod compare;
mod structs;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::template::layout::{Clocks, Hints, Types};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::template::layout::tests::clang::clang;
use structs::Record;

/// A struct as C read it: its bytes, and its leaves in the order of `CStruct::leaves`.
struct Seen {
    bytes: Vec<u8>,
    leaves: Vec<String>,
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

fn random_structs(count: u64) -> Vec<Record> {
    let seed = RngSeed::Fixed(setting("RECORD_STRUCTS_SEED", 23));
    let mut runner = TestRunner::new(Config { rng_seed: seed, ..Config::default() });
    let strategy = structs::record();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Compiles and runs the C that fills and prints the structs.
fn shown(source: &Path, folder: &Path) -> HashMap<usize, Seen> {
    let program = folder.join("structs");
    clang(&["-O0", "-w", "-fsigned-char"], source, &program);
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "the generated program ended with {}", output.status);
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
    let (source, object) = (folder.path().join("structs.c"), folder.path().join("structs.o"));
    let structs = random_structs(setting("RECORD_STRUCTS_COUNT", 1000));
    let c_structs: Vec<_> =
        structs.iter().enumerate().map(|(index, record)| c_source::build(index, record)).collect();
    std::fs::write(&source, c_source::program(&c_structs)).unwrap();
    clang(&["-target", "bpf", "-g", "-O2", "-w", "-DTYPES_ONLY", "-c"], &source, &object);
    let types = Types::of_object(&std::fs::read(&object).unwrap()).unwrap();
    let seen = shown(&source, folder.path());
    assert_eq!(seen.len(), c_structs.len());
    let (mut leaves, mut failures) = (0, Vec::new());
    for (index, c_struct) in c_structs.iter().enumerate() {
        let seen = &seen[&index];
        assert_eq!(seen.leaves.len(), c_struct.leaves.len());
        let layout = match types.record(Some(&format!("struct generated{index}")), &Hints::default()) {
            Ok(layout) => layout,
            Err(error) => {
                failures.push(format!("{error}\n{}", c_struct.declaration));
                continue;
            }
        };
        assert_eq!(layout.size(), seen.bytes.len(), "size of\n{}", c_struct.declaration);
        let fields = serde_json::Value::Object(layout.decode(&seen.bytes, &Clocks::default()).unwrap());
        for (leaf, expected) in c_struct.leaves.iter().zip(&seen.leaves) {
            leaves += 1;
            if let Err(why) = compare::leaf(leaf, expected, &fields) {
                failures.push(format!("{}: {why}\n{}", leaf.c, c_struct.declaration));
            }
        }
        assert_eq!(compare::count(&fields), c_struct.shown(), "fields of\n{}", c_struct.declaration);
    }
    let shortest = failures.iter().min_by_key(|failure| failure.len());
    assert!(failures.is_empty(), "{} wrong, the shortest:\n{}", failures.len(), shortest.unwrap());
    assert!(leaves > c_structs.len() * 5, "only {leaves} leaves");
}
