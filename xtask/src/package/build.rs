//! The build that is packaged: the same bytes from the same commit, wherever it is built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::tools::Tools;
use crate::run;

/// Folder of what the Debian package's list of contents names, below the one in which was built.
pub(super) const PACKAGED: &str = "release/packaged";

/// Builds the agent with the profile of packages, in the folder.
pub(super) fn agent(folder: &Path) -> Result<()> {
    let mut build = run::cargo();
    build.args(["build", "--release", "--locked", "--package", "duetector-actors"]);
    build.env("CARGO_TARGET_DIR", folder).env("CARGO_INCREMENTAL", "0");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut flags = vec![remap(folder, "/build"), remap(run::root(), "/source")];
    flags.extend(home.map(|home| remap(&home, "/cargo")));
    // One text, in which spaces of paths do no harm.
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    run::run(reproducible(&mut build)?)
}

/// Returns the option by which the compiler writes another path instead of the one on this machine.
fn remap(path: &Path, as_path: &str) -> String {
    format!("--remap-path-prefix={}={as_path}", path.display())
}

/// Returns the command that makes the Debian package of the agent that was built in a folder.
pub(super) fn deb(tools: &Tools, folder: &Path, deb: &Path) -> Result<Command> {
    let mut command = tools.command("cargo-deb");
    command
        .args(["--no-build", "--no-strip", "--locked", "--package", "duetector-actors", "--output"])
        .arg(deb)
        .env("CARGO_TARGET_DIR", folder)
        // Some paths of the manifest are taken from the working folder.
        .current_dir(run::root().join("bin"));
    reproducible(&mut command)?;
    Ok(command)
}

/// Archives a folder, or what is in it, so that the same contents are the same bytes; returns the archive's path.
pub(super) fn tar(folder: &Path, what: &str, archive: &Path) -> Result<PathBuf> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{}", date()?)).arg("--file").arg(archive);
    run::run(tar.arg("--directory").arg(folder).arg(what))?;
    Ok(archive.to_owned())
}

/// Makes a command write the time of the commit instead of the present one.
pub(super) fn reproducible(command: &mut Command) -> Result<&mut Command> {
    Ok(command.env("SOURCE_DATE_EPOCH", date()?))
}

/// Returns the time of the commit, in seconds since 1970.
pub(super) fn date() -> Result<String> {
    let date = ["log", "-1", "--format=%ct"];
    run::output(Command::new("git").args(date).current_dir(run::root()))
        .context("git does not say when the last commit was made")
}
