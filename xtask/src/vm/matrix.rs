//! `tests/vm.toml`: the kernels, the boots of each, and the suites that run in them.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::programs::Programs;
use crate::run;

/// The file's path below the workspace.
const FILE: &str = "tests/vm.toml";

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matrix {
    pub(crate) kernels: Vec<Kernel>,
    /// Boots of each kernel for `cargo xtask test`.
    #[serde(rename = "essential")]
    essentials: Vec<Boot>,
    /// Boots of each kernel for `--all`.
    #[serde(rename = "complete")]
    complete: Vec<Boot>,
    /// Steps that `--all` also runs on this machine's own kernel.
    here: Vec<Boot>,
    pub(crate) suites: Vec<Suite>,
    pub(crate) helpers: Vec<String>,
    pub(crate) examples: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) modules: Vec<String>,
    pub(crate) guest: Guest,
}

/// A kernel, found among Debian's packages.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) package: String,
}

/// A boot of each kernel, or of some.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Boot {
    /// Follows the kernel's name in the table; empty for none.
    pub(crate) name: String,
    /// The kernel's parameters.
    #[serde(default)]
    pub(crate) parameters: String,
    /// The only kernels that get it, by their names; all if there are none.
    #[serde(default)]
    kernels: Vec<String>,
    /// The only tests that run, by their whole names, of the suites that have any of them; other suites run whole.
    #[serde(default)]
    pub(crate) tests: Vec<String>,
    /// The steps that run in it, in this order.
    pub(crate) steps: Vec<Step>,
}

/// Suites that run one after the other with the same kind of hooks: a column of the table.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// The only kind of hooks that may be used; without it the agent chooses.
    #[serde(default)]
    pub(crate) tier: Option<String>,
    /// The part of each suite's tests that runs, as 1 of 2; another boot runs the rest.
    #[serde(default)]
    pub(crate) part: Option<[usize; 2]>,
    pub(crate) suites: Vec<String>,
}

/// A test program: the name of a test target, which no two crates share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    pub(crate) test: String,
    /// Tests that are not run in guests.
    #[serde(default)]
    pub(crate) skip: Vec<Skip>,
}

/// A test that is not run in guests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skip {
    /// The test's whole name.
    pub(crate) test: String,
    /// Names of kernels, boots and tiers, or several of them in one string; without any, it is skipped in all guests.
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
    /// Reads the file and checks its names against each other.
    pub(crate) fn load() -> Result<Self> {
        let text =
            fs::read_to_string(run::root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        let matrix: Self = toml::from_str(&text).with_context(|| format!("{FILE} is not as expected"))?;
        for boot in matrix.essentials.iter().chain(&matrix.complete).chain(&matrix.here) {
            for name in &boot.kernels {
                ensure!(
                    matrix.kernels.iter().any(|kernel| kernel.name == *name),
                    "{FILE}: boot {} names the kernel {name}, which is not among the kernels",
                    boot.name
                );
            }
            for step in &boot.steps {
                let [part, of] = step.part.unwrap_or([1, 1]);
                ensure!((1..=of).contains(&part), "{FILE}: boot {} is part {part} of {of}", boot.name);
                for name in &step.suites {
                    ensure!(
                        matrix.suites.iter().any(|suite| suite.test == *name),
                        "{FILE}: boot {} names the suite {name}, which is not among the suites",
                        boot.name
                    );
                }
            }
        }
        Ok(matrix)
    }

    /// Checks that every test named in the file exists, so that none is left out by a change of its name.
    pub(crate) fn check_tests(&self, programs: &Programs) -> Result<()> {
        let boots = self.essentials.iter().chain(&self.complete).chain(&self.here);
        let chosen = boots.flat_map(|boot| &boot.tests);
        let skipped = self.suites.iter().flat_map(|suite| suite.skip.iter().map(|skip| &skip.test));
        let mut known = Vec::new();
        for suite in &self.suites {
            known.extend(program(programs, &suite.test)?.tests()?);
        }
        let unknown: Vec<_> =
            chosen.chain(skipped).filter(|test| !known.contains(test)).map(String::as_str).collect();
        ensure!(unknown.is_empty(), "{FILE} names tests that do not exist: {}", unknown.join(", "));
        Ok(())
    }

    /// Keeps only the kernels named, if any are.
    pub(crate) fn keep_kernels(&mut self, wanted: &[String]) -> Result<()> {
        for name in wanted {
            if !self.kernels.iter().any(|kernel| kernel.name == *name) {
                let known: Vec<_> = self.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
                bail!("no kernel {name} in {FILE}, only {}; another one is one line there", known.join(", "));
            }
        }
        if !wanted.is_empty() {
            self.kernels.retain(|kernel| wanted.contains(&kernel.name));
        }
        Ok(())
    }

    /// The boots of each kernel: the essential ones, all of the complete ones, or those named, from both lists.
    pub(crate) fn boots(&self, all: bool, named: &[String]) -> Result<Vec<Boot>> {
        if named.is_empty() {
            return Ok(if all { &self.complete } else { &self.essentials }.clone());
        }
        let is_named =
            |boot: &Boot, name: &str| boot.name == name || boot.name.split(' ').next() == Some(name);
        let is_wanted = |boot: &&Boot| named.iter().any(|name| is_named(boot, name));
        let found: Vec<_> = self.essentials.iter().chain(&self.complete).filter(is_wanted).cloned().collect();
        ensure!(!found.is_empty(), "no boot {} in {FILE}", named.join(", "));
        Ok(found)
    }

    /// Returns the steps that also run on this machine's own kernel.
    pub(crate) fn here(&self) -> &[Boot] {
        &self.here
    }

    /// The step's suites, in its order.
    pub(crate) fn suites_of<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Suite> {
        step.suites.iter().filter_map(|name| self.suites.iter().find(|suite| suite.test == *name))
    }
}

/// The built test program of that name.
pub(crate) fn program<'a>(programs: &'a Programs, name: &str) -> Result<&'a crate::programs::Suite> {
    let found = programs.suites.iter().find(|suite| !suite.is_unit && suite.name == name);
    found.with_context(|| format!("cargo built no test program {name}"))
}

impl Boot {
    /// Returns whether a kernel gets this boot.
    pub(crate) fn is_for(&self, kernel: &Kernel) -> bool {
        self.kernels.is_empty() || self.kernels.contains(&kernel.name)
    }

    /// The boot's own name, unique among all boots.
    pub(crate) fn label(&self, kernel: &str) -> String {
        format!("{kernel} {}", self.name).trim().to_owned()
    }

    /// The name of a step's column: the boot's, and the kind of hooks where the boot has several.
    pub(crate) fn column(&self, kernel: &str, step: &Step) -> String {
        let label = self.label(kernel);
        if self.steps.len() == 1 {
            return label;
        }
        format!("{label} {}", step.tier.as_deref().unwrap_or("auto"))
    }

    /// Returns the tests of a suite that are left out of the step.
    pub(crate) fn others<'a>(&'a self, step: &Step, tests: &'a [String]) -> impl Iterator<Item = &'a str> {
        let [part, of] = step.part.unwrap_or([1, 1]);
        let own = tests.len() * (part - 1) / of..tests.len() * part / of;
        let is_whole = !tests.iter().any(|test| self.tests.contains(test));
        let is_own = move |at, test: &String| own.contains(&at) && (is_whole || self.tests.contains(test));
        tests.iter().enumerate().filter(move |(at, test)| !is_own(*at, test)).map(|(_, test)| test.as_str())
    }
}

impl Step {
    /// Variables that suites and agents read.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &str)> {
        let tier = |name| self.tier.as_deref().map(|tier| (name, tier));
        ["DUETECTOR_TEST_TIER", "DUETECTOR_EBPF__TIER"].into_iter().filter_map(tier).collect()
    }
}

impl Suite {
    /// The suite's command-line arguments: JSON results to `results`, and the tests that are not run, by their whole
    /// names, or with a filter the tests that are.
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

    /// The tests that are not run in the guest of that column.
    pub(crate) fn skipped(&self, column: &str) -> Vec<&Skip> {
        let is_it = |on: &String| on.split(' ').all(|word| column.split(' ').any(|other| other == word));
        let applies = |skip: &&Skip| skip.on.is_empty() || skip.on.iter().any(is_it);
        self.skip.iter().filter(applies).collect()
    }
}
