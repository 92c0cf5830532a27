//! Runs the test programs one after the other, so that each one's time and result are known.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::outcome::Ended;
use crate::programs::{self, Programs, Suite};
use crate::run::{self, Watch, say};

/// Crates whose tests load kernel programs, and so run as root.
const KERNEL_CRATES: [&str; 2] = ["bpf-programs", "tests"];

/// Suites that `--quick` leaves out, because each takes more than twenty seconds.
pub(crate) const LONG: [&str; 10] = [
    "bounds",
    "bytes",
    "duetector_interop",
    "fairness",
    "kernel",
    "ledger",
    "reload",
    "replay",
    "seam",
    "shares",
];

/// Runs the chosen suites with the variables that they read.
pub(crate) struct Runner<'a> {
    pub(crate) programs: &'a Programs,
    /// A virtual environment with Python duetector.
    pub(crate) venv: Option<PathBuf>,
    /// Only tests whose name contains this.
    pub(crate) filter: Option<&'a str>,
    /// Without the long ones.
    pub(crate) quick: bool,
}

impl Runner<'_> {
    /// Runs every suite, whether or not one before it failed.
    pub(crate) fn run_all(&self) -> Result<Vec<Ended>> {
        let chosen: Vec<_> = self.programs.suites.iter().filter(|suite| self.is_chosen(suite)).collect();
        let mut ended = Vec::new();
        for (at, suite) in chosen.iter().enumerate() {
            say(&format!("suite {} of {}: {}", at + 1, chosen.len(), suite.label()));
            ended.push(run(&mut self.command(suite)?, Ended::new(&suite.name, suite.label()))?);
        }
        if self.filter.is_none() && !self.quick {
            say("the examples in the documentation");
            let mut command = run::cargo();
            programs::shared(command.args(["test", "--doc"]));
            ended.push(run(&mut command, Ended::new("doc", "examples in the documentation".to_owned()))?);
        }
        Ok(ended)
    }

    fn is_chosen(&self, suite: &Suite) -> bool {
        match self.filter {
            None => !(self.quick && !suite.is_unit && LONG.contains(&suite.name.as_str())),
            // A suite whose tests can't be listed is run, and shows why.
            Some(filter) => {
                suite.tests().map_or(true, |tests| tests.iter().any(|test| test.contains(filter)))
            }
        }
    }

    /// The suite as `cargo test` would run it; as root if it needs that. Cargo and what it writes stay ours.
    fn command(&self, suite: &Suite) -> Result<Command> {
        let folder = run::root().join(&suite.crate_folder);
        let mut command = if KERNEL_CRATES.contains(&suite.crate_folder.as_str()) {
            // Without root and sudo its tests are ignored, or fail in CI.
            run::as_root(&suite.path).unwrap_or_else(|_| Command::new(&suite.path))
        } else {
            Command::new(&suite.path)
        };
        command.current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder);
        command.env("CARGO", run::cargo().get_program());
        command.env("DUETECTOR_TEST_BIN", &self.programs.agent);
        // Two kernel tests at a time: more would measure the machine's load rather than the agent.
        command.env("RUST_TEST_THREADS", "2");
        if let Some(venv) = &self.venv {
            command.env("DUETECTOR_TEST_VENV", venv);
        }
        if let Some(filter) = self.filter {
            command.arg(filter);
        }
        Ok(command)
    }
}

/// Runs one suite; shows its output and reads the results in it.
fn run(command: &mut Command, mut ended: Ended) -> Result<Ended> {
    let watch = Watch::start();
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {}", ended.label))?;
    let mut output = BufReader::new(child.stdout.take().context("no output")?);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).context("cannot read the suite's output")? > 0 {
        std::io::stdout().write_all(&line).context("cannot write")?;
        ended.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    let status = child.wait().context("cannot wait for the suite")?;
    ended.success = status.success();
    ended.time = watch.elapsed();
    if !ended.success {
        say(&format!("{} ended with {status}", ended.label));
    }
    Ok(ended)
}
