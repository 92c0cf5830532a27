//! `cargo xtask bench`: what the agent costs, as one table with machine, kernel and commit.

use anyhow::Result;

use crate::{run, start};

/// How long to measure and where to put it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the table to docs/BENCHMARKS.md, too
    #[arg(long)]
    write: bool,
    /// Rounds of each comparison; medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each storm
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only what a flooding child gets through; prints, never writes
    #[arg(long, conflicts_with = "write")]
    children: bool,
    /// Only what each tracer's events cost in the kernel; prints, never writes
    #[arg(long, conflicts_with = "write")]
    kernel: bool,
}

/// Builds the agent as users have it, and measures it as root.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let agent = start::build_release()?;
    run::run(run::cargo().args(["build", "--release", "--locked", "--package", "tests", "--bins"]))?;
    let mut command = run::as_root(&run::target_dir()?.join("release/bench"))?;
    if options.write {
        command.arg("--write").arg(run::root().join("docs/BENCHMARKS.md"));
    }
    if options.children {
        command.arg("--children");
    }
    if options.kernel {
        command.arg("--kernel");
    }
    command
        .args(["--rounds", &options.rounds.to_string(), "--seconds", &options.seconds.to_string()])
        .env("DUETECTOR_TEST_BIN", agent);
    run::run(&mut command)
}
