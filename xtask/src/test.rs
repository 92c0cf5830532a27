//! `cargo xtask test`: what must hold before anything is merged, from a fresh clone to the last kernel test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{run, setup, vm};

/// The workspace's packages whose tests load kernel programs, and so run as root.
const KERNEL_PACKAGES: [&str; 2] = ["bpf-programs", "tests"];

/// Provides, checks, builds, runs, here and on the other kernels. With a filter, only the tests it names are run, here.
pub(crate) fn test(filter: Option<&str>) -> Result<()> {
    setup::provide(&setup::BUILD)?;
    setup::provide(&setup::TEST)?;
    let venv = python_duetector();
    if filter.is_none() {
        setup::provide_rust_tools()?;
        run::run(run::cargo().args(["fmt", "--all", "--check"]))?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        run::run(run::cargo().args(clippy))?;
    }
    let tests = Tests { agent: build_agent()?, venv, filter };
    let here = tests.run_all();
    if filter.is_some() {
        // Guests are booted for the whole, or by `cargo xtask vm`.
        return here;
    }
    here.and(vm::vm(&vm::Options::default()))
}

struct Tests<'a> {
    agent: PathBuf,
    venv: Option<PathBuf>,
    filter: Option<&'a str>,
}

impl Tests<'_> {
    /// All packages' tests, as root those that need it.
    fn run_all(&self) -> Result<()> {
        if run::is_root() {
            return self.run(&["--workspace"], None);
        }
        let others: Vec<_> = KERNEL_PACKAGES.iter().flat_map(|package| ["--exclude", package]).collect();
        let kernel: Vec<_> = KERNEL_PACKAGES.iter().flat_map(|package| ["--package", package]).collect();
        let unprivileged = self.run(&[&["--workspace"], &*others].concat(), None);
        let privileged = self.run(&kernel, run::find("sudo"));
        unprivileged.and(privileged)
    }

    /// Runs cargo's tests; with sudo, only the test programs run as root: cargo and what it writes stay ours.
    fn run(&self, packages: &[&str], sudo: Option<PathBuf>) -> Result<()> {
        let mut command = run::cargo();
        command.args(["test", "--locked", "--no-fail-fast"]).args(packages);
        command.env("DUETECTOR_TEST_BIN", &self.agent);
        // Two kernel tests at a time: more would measure the machine's load rather than the agent.
        command.env("RUST_TEST_THREADS", "2");
        if let Some(venv) = &self.venv {
            command.env("DUETECTOR_TEST_VENV", venv);
        }
        if let Some(sudo) = sudo {
            let keep = "--preserve-env=CI,CARGO,DUETECTOR_TEST_BIN,DUETECTOR_TEST_VENV,RUST_TEST_THREADS";
            let runner = format!("target.'cfg(unix)'.runner = ['{}', '{keep}']", sudo.display());
            command.args(["--config", &runner]);
        }
        if let Some(filter) = self.filter {
            command.args(["--", filter]);
        }
        run::run(&mut command)
    }
}

/// The agent under test: optimised, and with the command that makes an actor panic.
pub(crate) fn build_agent() -> Result<PathBuf> {
    let features = ["--features", "fault-injection"];
    let build = ["build", "--locked", "--profile", "e2e", "--package", "duetector-actors"];
    run::run(run::cargo().args(build).args(features))?;
    Ok(run::target_dir()?.join("e2e/duetector-actors"))
}

/// A folder with Python duetector in it. Without one (no network, another Python) the test that reads our
/// file with it is skipped, or fails in CI; that is the test's to say.
fn python_duetector() -> Option<PathBuf> {
    let venv = run::target_dir().ok()?.join("duetector-venv");
    match install_duetector(&venv) {
        Ok(()) => Some(venv),
        Err(why) => {
            run::say(&format!("Python duetector can't be installed: {why:#}"));
            None
        }
    }
}

fn install_duetector(venv: &Path) -> Result<()> {
    let requirements = run::root().join("tests/python/requirements.txt");
    let wanted = fs::read(&requirements).context("cannot read tests/python/requirements.txt")?;
    // Written last: what is there then is complete and of these very requirements.
    let mark = venv.join("installed-requirements.txt");
    if fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run::run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run::run(Command::new(venv.join("bin/python")).args(pip).arg(&requirements))?;
    fs::write(&mark, wanted).context("cannot write the mark of a complete installation")
}
