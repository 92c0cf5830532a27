//! The number of instructions of each program, as the kernel's verifier counts them.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use aya::programs::loaded_programs;

use crate::Test;
use crate::support::{Kernel, tier};

pub const TESTS: &[Test] = &[("instructions_of_each_program", instructions_of_each_program)];

/// The verifier refuses a program when it has followed this many instructions on all paths (`BPF_COMPLEXITY_LIMIT_INSNS`).
const LIMIT: u32 = 1_000_000;
/// Programs of this suite, at least.
const MANY: usize = 50;

/// Prints the table of docs/BENCHMARKS.md, and asserts that every program keeps away from the verifier's limit: another kernel
/// counts differently.
fn instructions_of_each_program() -> anyhow::Result<()> {
    let kernel = Kernel::start()?;
    let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for program in loaded_programs() {
        // Another process may unload its programs meanwhile.
        let Ok(program) = program else { continue };
        let name = program.name_as_str().unwrap_or_default().to_owned();
        let translated = program.size_translated().unwrap_or_default() / 8;
        // Before Linux 5.16 the kernel does not tell.
        let followed = program.verified_instruction_count().unwrap_or_default();
        let count = counts.entry(name).or_default();
        *count = (count.0.max(translated), count.1.max(followed));
    }
    drop(kernel);
    ensure!(counts.len() >= MANY, "{counts:?}");
    #[expect(clippy::print_stdout, reason = "for docs/BENCHMARKS.md")]
    for (name, (translated, followed)) in &counts {
        println!("instructions | {} | {name} | {translated} | {followed} |", tier());
    }
    let largest = counts.iter().max_by_key(|(_, (_, followed))| *followed).context("no program")?;
    ensure!(largest.1.1 < LIMIT / 2, "{largest:?}");
    Ok(())
}
