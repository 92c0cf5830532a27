//! `cargo xtask bench`: what the agent costs, as one table with machine, kernel and commit.

use anyhow::Result;

/// What to measure and where to put it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the table to docs/BENCHMARKS.md, too
    #[arg(long)]
    write: bool,
}

/// Measures.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let _ = options.write;
    Ok(())
}
