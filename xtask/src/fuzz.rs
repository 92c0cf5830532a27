//! `cargo xtask fuzz`: long runs, guided by code coverage, of everything that reads data from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{self, find, run, say};
use crate::setup;

/// The folder of the fuzz targets, their seeds and dictionaries, below the workspace.
const FOLDER: &str = "tests/fuzz";

/// Options: the targets to run, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only this target
    target: Option<String>,
    /// Seconds that each target runs
    #[arg(long, default_value_t = 300)]
    seconds: u32,
    /// List the targets, and run none
    #[arg(long)]
    list: bool,
}

/// Runs the targets one after the other; one that finds something ends, and the next begins.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let targets = targets()?;
    if options.list {
        list(&targets);
        return Ok(());
    }
    if let Some(wanted) = options.target.as_ref().filter(|wanted| !targets.contains(wanted)) {
        bail!("no fuzz target {wanted}, only {}", targets.join(", "));
    }
    setup::provide(&setup::BUILD)?;
    provide_tools()?;
    let mut broken = Vec::new();
    for target in
        targets.iter().filter(|target| options.target.as_ref().is_none_or(|wanted| wanted == *target))
    {
        if let Err(why) = fuzz_one(target, options.seconds) {
            say(&format!("{target}: {why:#}"));
            broken.push(target.as_str());
        }
    }
    if !broken.is_empty() {
        bail!("found inputs on which {} failed; they are in {}", broken.join(", "), artifacts("")?.display());
    }
    Ok(())
}

/// The names of the targets.
fn targets() -> Result<Vec<String>> {
    let folder = run::root().join(FOLDER).join("targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some(Path::new(&entry.file_name()).file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn fuzz_one(target: &str, seconds: u32) -> Result<()> {
    let fuzz = run::root().join(FOLDER);
    let corpus = run::target_dir()?.join("fuzz/corpus").join(target);
    let artifacts = artifacts(target)?;
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut command = nightly()?;
    command
        .args(["fuzz", "run", "--fuzz-dir", FOLDER, "--target-dir"])
        .arg(run::target_dir()?.join("fuzz/build"));
    // New inputs go into the first folder; the others are only read.
    command.arg(target).arg(&corpus).arg(fuzz.join("seeds").join(target));
    if target == "config" {
        command.arg(run::root().join("configs")).arg(run::root().join("configs/invalid"));
    }
    command.arg("--").arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-dict={}", fuzz.join("dictionaries").join(target).display()));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // An input that takes long or much memory is a finding, too.
    command.args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1"]);
    // The kernel programs are not loaded here, so they need not be compiled.
    run(command.env("DUETECTOR_SKIP_BPF", "1"))
}

fn artifacts(target: &str) -> Result<PathBuf> {
    Ok(run::target_dir()?.join("fuzz/artifacts").join(target))
}

/// The cargo of a nightly toolchain: rustup's proxy, not the cargo that runs us.
fn nightly() -> Result<Command> {
    let cargo = find("cargo").context("no cargo on PATH")?;
    let mut command = Command::new(cargo);
    // Set by the proxy that runs us, for its own toolchain.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").arg("+nightly").current_dir(run::root());
    Ok(command)
}

fn provide_tools() -> Result<()> {
    let Some(rustup) = find("rustup") else {
        bail!("fuzzing needs a nightly Rust, which rustup installs: https://rustup.rs");
    };
    let nightly_works = || Ok::<_, anyhow::Error>(run::output(nightly()?.arg("--version")).is_some());
    if !nightly_works()? {
        say("missing: a nightly Rust toolchain (libFuzzer's instrumentation)");
        run(Command::new(rustup).args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    }
    if run::output(nightly()?.args(["fuzz", "--version"])).is_none() {
        say("missing: cargo-fuzz");
        run(nightly()?.args(["install", "--locked", "cargo-fuzz"]))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the list is what was asked for")]
fn list(targets: &[String]) {
    targets.iter().for_each(|target| println!("{target}"));
}
