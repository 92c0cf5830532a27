//! `cargo xtask package`: a Debian package, a tarball and an image for containers of the agent, with manual pages, licences and a bill of materials.
//!
//! ```text
//! release build ─▶ manual pages ─┐
//! dependencies ──▶ licences, ────┼─▶ cargo-deb ─▶ .deb ─▶ unpacked ─▶ .tar.gz
//!                  materials     │                                └─▶ SHA256SUMS
//! packaging/ ────────────────────┘
//! release build, its libraries, deploy/config.toml ─▶ umoci ─▶ image
//! ```

mod build;
mod image;
mod machine;
mod papers;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::plan::{Plan, Scales, Step};
use crate::{run, setup};

/// Options of `cargo xtask package`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build everything a second time, in another folder, and fail unless each byte is the same
    #[arg(long)]
    twice: bool,
    /// Install the package on a machine with systemd that is made for this (systemd-nspawn, as root): run it in its sandbox, upgrade
    /// it under load, remove and purge it
    #[arg(long)]
    try_it: bool,
}

const NEEDS: Step = Step {
    what: "installing what is missing, also cargo-deb, cargo-about and cargo-cyclonedx",
    seconds: 300,
    scales: Scales::WithProcessors,
};
const BUILD: Step =
    Step { what: "building the agent, optimised", seconds: 420, scales: Scales::WithProcessors };
const PACK: Step = Step { what: "packing", seconds: 20, scales: Scales::WithSpeed };
const AGAIN: Step =
    Step { what: "building and packing it again", seconds: 440, scales: Scales::WithProcessors };
const TRY: Step = Step { what: "installing it on a machine of its own", seconds: 120, scales: Scales::Never };

/// Makes the packages; prints their paths.
pub(crate) fn package(options: &Options) -> Result<()> {
    let mut steps = vec![NEEDS, BUILD, PACK];
    steps.extend(options.twice.then_some(AGAIN));
    steps.extend(options.try_it.then_some(TRY));
    let mut plan = Plan::announce("cargo xtask package", steps);
    plan.next();
    setup::provide(&setup::BUILD)?;
    setup::provide(&setup::PACKAGE)?;
    if options.try_it {
        setup::provide(&setup::TRY_PACKAGE)?;
    }
    let tools = tools::provide()?;
    plan.next();
    let folder = run::root().join("target/package");
    let build = folder.join("build");
    build::agent(&build)?;
    plan.next();
    let packages = pack(&tools, &build, &folder)?;
    if options.twice {
        plan.next();
        let second = folder.join("second");
        let first = keep(&packages, &second)?;
        let build = folder.join("build-again");
        build::agent(&build)?;
        let again = pack(&tools, &build, &folder)?;
        for (first, again) in first.iter().zip(&again) {
            ensure!(
                fs::read(first)? == fs::read(again)?,
                "{} differs from {}",
                again.display(),
                first.display()
            );
        }
        run::say("both builds are the same, byte for byte");
    }
    if options.try_it {
        plan.next();
        machine::try_it(&tools, &build, &packages[0], &folder)?;
        image::try_it(&folder)?;
    }
    for package in &packages {
        run::say(&format!("made {}", package.display()));
    }
    Ok(())
}

/// Copies the packages into a folder; returns the copies.
fn keep(packages: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let copy = |package: &PathBuf| {
        let copy = folder.join(package.file_name().context("a package without a name")?);
        fs::copy(package, &copy).with_context(|| format!("copying {}", package.display()))?;
        Ok(copy)
    };
    packages.iter().map(copy).collect()
}

/// Makes all packages of the agent that was built, and their sums. Returns their paths.
fn pack(tools: &tools::Tools, build: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let packaged = build.join(build::PACKAGED);
    papers::write(tools, &build.join("release/duetector-actors"), &packaged)?;
    let program = packaged.join("duetector-actors");
    fs::copy(build.join("release/duetector-actors"), &program).context("copying the agent")?;
    // Names of functions stay, for the log of a panic.
    run::run(Command::new("strip").arg("--strip-debug").arg(&program))?;
    let deb = folder.join("duetector-actors.deb");
    run::run(&mut build::deb(tools, build, &deb)?)?;
    let tarball = tarball(&deb, folder)?;
    let image = image::make(&program, folder)?;
    let sums = folder.join("SHA256SUMS");
    let names = [&deb, &tarball, &image].map(|path| path.file_name().unwrap_or_default());
    let text =
        run::output(Command::new("sha256sum").args(names).current_dir(folder)).context("sha256sum failed")?;
    fs::write(&sums, text + "\n").with_context(|| format!("writing {}", sums.display()))?;
    Ok(vec![deb, tarball, image, sums])
}

/// Makes a tarball of what is in the Debian package.
fn tarball(deb: &Path, folder: &Path) -> Result<PathBuf> {
    let contents = folder.join("duetector-actors");
    if contents.exists() {
        fs::remove_dir_all(&contents).with_context(|| format!("removing {}", contents.display()))?;
    }
    run::run(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(&contents))?;
    let tarball = build::tar(folder, "duetector-actors", &folder.join("duetector-actors.tar"))?;
    run::run(Command::new("gzip").args(["--force", "--no-name", "--best"]).arg(&tarball))?;
    Ok(folder.join("duetector-actors.tar.gz"))
}
