//! The test programs, built here for every kernel.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::matrix::Matrix;
use crate::{run, test};

/// What runs in guests.
pub(crate) struct Built {
    /// The agent under test.
    pub(crate) agent: PathBuf,
    /// The workload generator.
    pub(crate) generator: PathBuf,
    /// The suites, in the matrix's order.
    pub(crate) suites: Vec<PathBuf>,
}

/// Builds all of it, as `cargo xtask test` does.
pub(crate) fn build(matrix: &Matrix) -> Result<Built> {
    let agent = test::build_agent()?;
    // The whole workspace is named so that features are the same as in `cargo xtask test`, and nothing is built twice.
    let mut command = run::cargo();
    command.args(["test", "--workspace", "--locked", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(matrix.suites.iter().flat_map(|suite| ["--test", &suite.test]));
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the suites can't be built");
    let programs = programs(&String::from_utf8_lossy(&output.stdout));
    let take = |kind: &str, name: &str| {
        let found = programs.get(&(kind.to_owned(), name.to_owned())).cloned();
        found.with_context(|| format!("cargo built no {kind} {name}"))
    };
    let suites = matrix.suites.iter().map(|suite| take("test", &suite.test)).collect::<Result<_>>()?;
    Ok(Built { agent, generator: take("bin", "generator")?, suites })
}

/// Programs by kind and name, from cargo's messages.
fn programs(messages: &str) -> HashMap<(String, String), PathBuf> {
    let mut found = HashMap::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let target = &message["target"];
        if let (Some(path), Some(kind), Some(name)) =
            (message["executable"].as_str(), target["kind"][0].as_str(), target["name"].as_str())
        {
            let kind = if kind == "bin" && message["profile"]["test"] == true { "bin-test" } else { kind };
            found.insert((kind.to_owned(), name.to_owned()), PathBuf::from(path));
        }
    }
    found
}
