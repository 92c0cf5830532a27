//! `tests/vm.toml`: which kernels, which runs, which suites.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::run;

/// Where it is, below the workspace.
const FILE: &str = "tests/vm.toml";

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matrix {
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) runs: Vec<Run>,
    pub(crate) here: Vec<Run>,
    pub(crate) suites: Vec<Suite>,
    pub(crate) helpers: Vec<String>,
    pub(crate) examples: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) modules: Vec<String>,
    pub(crate) guest: Guest,
}

/// A kernel, found among Debian's packages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) package: String,
}

/// One way to test each kernel.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Added to the kernel's.
    pub(crate) name: String,
    /// The kernel's parameters.
    #[serde(default)]
    pub(crate) parameters: String,
    /// The only tier that may be used.
    #[serde(default)]
    pub(crate) tier: Option<String>,
    /// Which part of each suite's tests, as 1 of 2: the rest is another run's.
    #[serde(default)]
    pub(crate) part: Option<[usize; 2]>,
    /// The suites, in this order.
    pub(crate) suites: Vec<String>,
}

/// A test program: the name of a test target, which no two crates share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    pub(crate) test: String,
    /// In guests.
    #[serde(default)]
    pub(crate) skip: Vec<Skip>,
}

/// What is not run in guests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skip {
    /// A test's whole name.
    pub(crate) test: String,
    /// Only there: names of kernels, of runs, or of both.
    #[serde(default)]
    pub(crate) on: Vec<String>,
    /// The reason, for the table.
    pub(crate) why: String,
}

/// The virtual machine.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guest {
    pub(crate) memory_mib: u32,
    pub(crate) processors: u32,
    pub(crate) at_once: u32,
    pub(crate) seconds: u32,
}

impl Matrix {
    /// Reads it, with only the kernels and runs named, if any are.
    pub(crate) fn load(wanted: &[String], runs: &[String]) -> Result<Self> {
        let text =
            fs::read_to_string(run::root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        let mut matrix: Self = toml::from_str(&text).with_context(|| format!("{FILE} is not as expected"))?;
        for name in matrix.runs.iter().chain(&matrix.here).flat_map(|run| &run.suites) {
            ensure!(
                matrix.suites.iter().any(|suite| suite.test == *name),
                "no suite {name} among the suites of {FILE}"
            );
        }
        for run in matrix.runs.iter().chain(&matrix.here) {
            let [part, of] = run.part.unwrap_or([1, 1]);
            ensure!((1..=of).contains(&part), "{FILE}: run {} is part {part} of {of}", run.name);
        }
        for name in wanted {
            if !matrix.kernels.iter().any(|kernel| kernel.name == *name) {
                let known: Vec<_> = matrix.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
                bail!("no kernel {name} in {FILE}, only {}; another one is one line there", known.join(", "));
            }
        }
        if !wanted.is_empty() {
            matrix.kernels.retain(|kernel| wanted.contains(&kernel.name));
        }
        let is_named = |run: &Run, name: &str| run.name == name || run.name.split(' ').next() == Some(name);
        let is_wanted = |run: &Run| runs.iter().any(|name| is_named(run, name));
        if !runs.is_empty() {
            matrix.runs.retain(is_wanted);
            matrix.here.retain(is_wanted);
            ensure!(!matrix.runs.is_empty(), "no run {} in {FILE}", runs.join(", "));
        }
        Ok(matrix)
    }
}

impl Matrix {
    /// Every kernel in each way.
    pub(crate) fn boots(&self) -> impl Iterator<Item = (&Kernel, &Run)> {
        self.kernels.iter().flat_map(|kernel| self.runs.iter().map(move |run| (kernel, run)))
    }

    /// The run's suites, in its order.
    pub(crate) fn suites_of<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = &'a Suite> {
        run.suites.iter().filter_map(|name| self.suites.iter().find(|suite| suite.test == *name))
    }
}

impl Run {
    /// Its column's name.
    pub(crate) fn column(&self, kernel: &str) -> String {
        format!("{kernel} {}", self.name).trim().to_owned()
    }

    /// Variables that suites and agents read.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &str)> {
        let tier = |name| self.tier.as_deref().map(|tier| (name, tier));
        ["DUETECTOR_TEST_TIER", "DUETECTOR_EBPF__TIER"].into_iter().filter_map(tier).collect()
    }

    /// Those of a suite's tests that are another run's.
    pub(crate) fn others<'a>(&self, tests: &'a [String]) -> impl Iterator<Item = &'a str> {
        let [part, of] = self.part.unwrap_or([1, 1]);
        let own = tests.len() * (part - 1) / of..tests.len() * part / of;
        tests.iter().enumerate().filter(move |(at, _)| !own.contains(at)).map(|(_, name)| name.as_str())
    }
}

impl Suite {
    /// Its words on the command line: JSON results to `results`, the tests that are not wanted, by their whole names, or
    /// those that are.
    pub(crate) fn arguments<'a, 'b: 'a>(
        results: &'a str,
        skipped: impl Iterator<Item = &'b str>,
        filter: Option<&'a str>,
    ) -> Vec<&'a str> {
        let mut words = vec!["--format", "json", "--logfile", results];
        match filter {
            Some(filter) => words.push(filter),
            None => words.push("--exact"),
        }
        words.extend(skipped.flat_map(|test| ["--skip", test]));
        words
    }

    /// What is not run in the guest of that column.
    pub(crate) fn skipped(&self, column: &str) -> Vec<&Skip> {
        let is_it = |on: &String| column == on || column.split(' ').any(|word| word == on);
        let applies = |skip: &&Skip| skip.on.is_empty() || skip.on.iter().any(is_it);
        self.skip.iter().filter(applies).collect()
    }
}
