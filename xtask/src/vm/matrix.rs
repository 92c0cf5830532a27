//! `tests/vm.toml`: which kernels, which runs, which suites.

use std::fs;

use anyhow::{Context, Result, bail};
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
    pub(crate) suites: Vec<Suite>,
    pub(crate) examples: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) guest: Guest,
}

/// A kernel, found among Debian's packages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) package: String,
}

/// One way to boot each kernel.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) parameters: String,
}

/// A test program: the name of a test target, which no two crates share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    pub(crate) test: String,
    #[serde(default)]
    pub(crate) skip: Vec<String>,
}

/// The virtual machine.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guest {
    pub(crate) memory_mib: u32,
    pub(crate) processors: u32,
    pub(crate) seconds: u32,
}

impl Matrix {
    /// Reads it, with only the kernels named, if any are.
    pub(crate) fn load(wanted: &[String]) -> Result<Self> {
        let text =
            fs::read_to_string(run::root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        let mut matrix: Self = toml::from_str(&text).with_context(|| format!("{FILE} is not as expected"))?;
        for name in wanted {
            if !matrix.kernels.iter().any(|kernel| kernel.name == *name) {
                let known: Vec<_> = matrix.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
                bail!("no kernel {name} in {FILE}, only {}; another one is one line there", known.join(", "));
            }
        }
        if !wanted.is_empty() {
            matrix.kernels.retain(|kernel| wanted.contains(&kernel.name));
        }
        Ok(matrix)
    }
}

impl Suite {
    /// Its words on the command line: JSON results to `results`, and the tests wanted.
    pub(crate) fn arguments(&self, results: &str, filters: &[String]) -> Vec<String> {
        let mut words = ["--format", "json", "--logfile", results].map(str::to_owned).to_vec();
        words.extend(self.skip.iter().flat_map(|skip| ["--skip".to_owned(), skip.clone()]));
        words.extend(filters.iter().cloned());
        words
    }
}
