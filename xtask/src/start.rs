//! `cargo xtask start`: from a fresh clone to a running agent.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::{run, setup};

/// Builds the agent for use, and says where it is.
pub(crate) fn build_release() -> Result<PathBuf> {
    setup::provide(&setup::BUILD)?;
    run::run(run::cargo().args(["build", "--release", "--locked", "--package", "duetector-actors"]))?;
    Ok(run::target_dir()?.join("release/duetector-actors"))
}

/// Becomes the agent, so that Ctrl-C and the exit code are the agent's own.
pub(crate) fn start(args: &[String]) -> Result<()> {
    let agent = build_release()?;
    let mut command = run::as_root(&agent).unwrap_or_else(|why| {
        run::say(&format!("{why:#}; starting without: kernel tracers will say what they lack"));
        Command::new(&agent)
    });
    command.arg("start").args(args);
    Err(anyhow!(command.exec()).context(format!("cannot run {}", agent.display())))
}
