//! `cargo xtask start`: from a fresh clone to a running agent.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::plan::{Plan, Scales, Step};
use crate::{programs, run, setup};

const NEEDS: Step = Step {
    what: "installing what the build needs, if it is missing (clang, libbpf's headers)",
    seconds: 10,
    scales: Scales::Never,
};
const BUILD: Step = Step { what: "building the agent", seconds: 120, scales: Scales::WithProcessors };
const RUN: Step = Step { what: "running it as root, until Ctrl-C", seconds: 2, scales: Scales::WithSpeed };

/// Builds the agent with the profile that tests use, and returns its path.
fn build() -> Result<PathBuf> {
    let profile = programs::PROFILE;
    let build = ["build", "--locked", "--profile", profile, "--package", "duetector-actors"];
    run::run(run::cargo().args(build))?;
    Ok(run::target_dir()?.join(profile).join("duetector-actors"))
}

/// Becomes the agent, so that Ctrl-C and the exit code are the agent's own.
pub(crate) fn start(args: &[String]) -> Result<()> {
    let mut plan = Plan::announce("cargo xtask start", vec![NEEDS, BUILD, RUN]);
    plan.next();
    setup::provide(&setup::BUILD)?;
    plan.next();
    let agent = build()?;
    plan.next();
    let mut command = run::as_root(&agent).unwrap_or_else(|why| {
        run::say(&format!("{why:#}; starting it without root: kernel tracers will say what they lack"));
        Command::new(&agent)
    });
    command.arg("start").args(args);
    Err(anyhow!(command.exec()).context(format!("cannot run {}", agent.display())))
}
