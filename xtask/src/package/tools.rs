//! Programs of cargo that packages are made with, each of a fixed version.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::run;

/// Program, version and options of its installation.
const TOOLS: [(&str, &str, &[&str]); 3] = [
    ("cargo-deb", "3.8.0", &[]),
    ("cargo-about", "0.9.3", &["--features", "cli"]),
    ("cargo-cyclonedx", "0.5.9", &[]),
];

/// The folder that has the programs.
pub(super) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Returns a command of one of the programs, in the workspace's top folder.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join("bin").join(name));
        command.current_dir(run::root());
        command
    }
}

/// Installs the programs that are missing below the target folder.
pub(super) fn provide() -> Result<Tools> {
    let tools = Tools { folder: run::root().join("target/tools") };
    for (name, version, options) in TOOLS {
        // cargo knows what it has installed there, and does nothing if it is this version.
        let mut install = run::cargo();
        install.args(["install", "--quiet", "--locked", "--root"]).arg(&tools.folder);
        install.args(options).arg(format!("{name}@{version}"));
        install.env("CARGO_TARGET_DIR", tools.folder.join("build"));
        run::run(&mut install)?;
    }
    Ok(tools)
}
