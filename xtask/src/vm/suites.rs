//! The test programs, built here for every kernel.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::matrix::{Matrix, Suite};
use crate::{run, test};

/// What runs in guests.
pub(crate) struct Built {
    /// The agent under test.
    pub(crate) agent: PathBuf,
    /// Programs that suites run, by their names.
    pub(crate) helpers: Vec<(String, PathBuf)>,
    pub(crate) suites: Vec<Program>,
}

/// A suite.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Its tests' names, in its order.
    pub(crate) tests: Vec<String>,
}

/// Builds all of it, as `cargo xtask test` does; an agent that is there already is taken if it is named.
pub(crate) fn build(matrix: &Matrix) -> Result<Built> {
    let agent = match std::env::var_os("DUETECTOR_TEST_BIN") {
        Some(there) => PathBuf::from(there),
        None => test::build_agent()?,
    };
    // The whole workspace is named so that features are the same as in `cargo xtask test`, and nothing is built twice.
    let mut command = run::cargo();
    command.args(["test", "--workspace", "--locked", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(matrix.suites.iter().flat_map(|suite| ["--test", &suite.test]));
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the suites can't be built");
    let programs = programs(&String::from_utf8_lossy(&output.stdout));
    let take = |kind: &str, name: &String| {
        let found = programs.get(&(kind.to_owned(), name.clone())).cloned();
        Ok((name.clone(), found.with_context(|| format!("cargo built no {kind} {name}"))?))
    };
    let program = |suite: &Suite| {
        let (name, path) = take("test", &suite.test)?;
        let tests = list(&path).with_context(|| format!("which tests has {name}?"))?;
        Ok(Program { name, path, tests })
    };
    let suites = matrix.suites.iter().map(program).collect::<Result<_>>()?;
    let helpers = matrix.helpers.iter().map(|name| take("bin", name)).collect::<Result<_>>()?;
    Ok(Built { agent, helpers, suites })
}

/// A suite's tests: lines as `NAME: test`.
fn list(suite: &Path) -> Result<Vec<String>> {
    let output = Command::new(suite).arg("--list").output()?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
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
