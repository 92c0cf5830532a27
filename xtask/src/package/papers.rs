//! Makes the texts of a package: manual pages, the licences of what is built in, and the bill of materials.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::build;
use super::tools::Tools;
use crate::run;

/// The text of the licences, in cargo-about's own language.
const TEMPLATE: &str = "packaging/licences.hbs";

/// Writes them into the folder, in which nothing else stays.
pub(super) fn write(tools: &Tools, agent: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    run::run(Command::new(agent).arg("man").arg(folder.join("man")))?;
    licences(tools, folder)?;
    materials(tools, folder)
}

/// Writes the licences of all crates that are built in, as the crates have them: no service is asked. Those that may be are listed in deny.toml.
fn licences(tools: &Tools, folder: &Path) -> Result<()> {
    let deny: toml::Table = read("deny.toml")?.parse().context("deny.toml")?;
    let section = |name: &str, key: &str| deny.get(name).and_then(|section| section.get(key)).cloned();
    let mut about = toml::Table::new();
    about.insert(
        "accepted".to_owned(),
        section("licenses", "allow").context("deny.toml has no licenses.allow")?,
    );
    about
        .insert("targets".to_owned(), section("graph", "targets").context("deny.toml has no graph.targets")?);
    about.insert("ignore-dev-dependencies".to_owned(), true.into());
    about.insert("ignore-build-dependencies".to_owned(), true.into());
    let settings = folder.join("about.toml");
    fs::write(&settings, about.to_string()).with_context(|| format!("writing {}", settings.display()))?;
    let mut command = tools.command("cargo-about");
    command
        .args([
            "generate",
            "--locked",
            "--offline",
            "--fail",
            "--manifest-path",
            "bin/Cargo.toml",
            "--config",
        ])
        .arg(&settings);
    run::run(command.arg("--output-file").arg(folder.join("LICENCES.txt")).arg(TEMPLATE))
}

/// Writes the bill of materials, in the format CycloneDX.
fn materials(tools: &Tools, folder: &Path) -> Result<()> {
    let mut command = tools.command("cargo-cyclonedx");
    command.args(["cyclonedx", "--format", "json", "--manifest-path", "bin/Cargo.toml"]);
    command.args(["--override-filename", "materials", "--target", "x86_64-unknown-linux-gnu"]);
    run::run(build::reproducible(&mut command)?)?;
    // It writes beside each manifest.
    for entry in fs::read_dir(run::root()).context("listing the workspace")? {
        let made = entry.context("listing the workspace")?.path().join("materials.json");
        if made.exists() {
            if made.parent().is_some_and(|parent| parent.ends_with("bin")) {
                let to = folder.join("duetector-actors.cdx.json");
                fs::copy(&made, &to).with_context(|| format!("writing {}", to.display()))?;
            }
            fs::remove_file(&made).with_context(|| format!("removing {}", made.display()))?;
        }
    }
    Ok(())
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(run::root().join(name)).with_context(|| format!("reading {name}"))
}
