//! `cargo xtask bench`: measures what the agent costs, and prints one table with machine, kernel and commit.

use std::path::PathBuf;

use anyhow::Result;

use crate::{run, setup};

/// The profile of packages, which is also the one that is measured: link-time optimisation, everything optimised.
const PROFILE: &str = "release";

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the table to docs/BENCHMARKS.md, too
    #[arg(long)]
    write: bool,
    /// Rounds of each comparison; the table shows medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that each load lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Measure only how many records per second a subprocess tracer can deliver; print, don't write
    #[arg(long, conflicts_with = "write")]
    children: bool,
    /// Measure only what each tracer's events cost in the kernel; print, don't write
    #[arg(long, conflicts_with = "write")]
    kernel: bool,
    /// Measure only what pinning costs and loses; print, don't write
    #[arg(long, conflicts_with = "write")]
    pinning: bool,
    /// Measure only what the columnar store takes and bears; print, don't write
    #[arg(long, conflicts_with = "write")]
    store: bool,
    /// Measure only reading a store of so many million made-up rows; print, don't write
    #[arg(long, conflicts_with = "write")]
    large: Option<u64>,
    /// Measure only lineage, also of so many million made-up edges; print, don't write
    #[arg(long, conflicts_with_all = ["write", "large"])]
    lineage: Option<u64>,
    /// Keep the large store in this folder, or read the one that is there; with --large or --lineage
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Compare only with this other agent, for example the version before, in turn; print, don't write
    #[arg(long, conflicts_with = "write")]
    against: Option<PathBuf>,
}

/// Builds the agent as it is packaged, and measures it as root.
pub(crate) fn bench(options: &Options) -> Result<()> {
    setup::provide(&setup::BUILD)?;
    run::say("building the agent as it is packaged, which takes several minutes the first time");
    let build = ["build", "--profile", PROFILE, "--locked", "--package"];
    run::run(run::cargo().args(build).arg("duetector-actors"))?;
    run::run(run::cargo().args(build).args(["tests", "--bins"]))?;
    run::run(run::cargo().args(build).args(["store", "--example", "large_store"]))?;
    if options.lineage.is_some() {
        let example = ["analyzer", "--example", "large_lineage", "--features", "analyzer/made-up"];
        run::run(run::cargo().args(build).args(example))?;
    }
    let folder = run::target_dir()?.join(PROFILE);
    let mut command = run::as_root(&folder.join("bench"))?;
    if options.write {
        command.arg("--write").arg(run::root().join("docs/BENCHMARKS.md"));
    }
    if options.children {
        command.arg("--children");
    }
    if options.kernel {
        command.arg("--kernel");
    }
    if options.pinning {
        command.arg("--pinning");
    }
    if options.store {
        command.arg("--store");
    }
    if let Some(millions) = options.large {
        command.args(["--large", &millions.to_string()]);
    }
    if let Some(millions) = options.lineage {
        command.args(["--lineage", &millions.to_string()]);
    }
    if let Some(folder) = &options.folder {
        command.arg("--folder").arg(folder);
    }
    if let Some(other) = &options.against {
        command.arg("--against").arg(other);
    }
    command
        .args(["--rounds", &options.rounds.to_string(), "--seconds", &options.seconds.to_string()])
        .env("DUETECTOR_TEST_BIN", folder.join("duetector-actors"));
    run::run(&mut command)
}
