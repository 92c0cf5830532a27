//! The commands that automate work on this repository: `cargo xtask start | test | vm | fuzz | fmt | bench | package`. Each
//! installs what it needs, so that a fresh machine with cargo and a C compiler is enough.

mod bench;
mod fmt;
mod fuzz;
mod package;
mod plan;
mod programs;
mod run;
mod setup;
mod start;
mod test;
mod vm;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, runs, tests and measures duetector-actors",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the build needs, build the agent and run it (as root, so that the kernel tracers load)
    Start {
        /// Options for `duetector-actors start`, after `--`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Install what the tests need, check format, lints and documentation, and run every test here and the most
    /// important ones on other kernels
    Test(test::Options),
    /// Format all Rust code
    Fmt,
    /// Run kernel suites inside virtual machines on other kernels, and print one table of the results
    Vm(vm::Options),
    /// Feed generated input, guided by code coverage, to everything that reads data from outside (needs nightly Rust)
    Fuzz(fuzz::Options),
    /// Measure what the agent costs, and print one table
    Bench(bench::Options),
    /// Make a Debian package, a tarball and an image for containers, with manual pages, licences and a bill of materials
    Package(package::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Start { args } => start::start(&args),
        Command::Test(options) => test::test(&options),
        Command::Vm(options) => vm::vm(&options),
        Command::Fuzz(options) => fuzz::fuzz(&options),
        Command::Fmt => fmt::fmt(),
        Command::Bench(options) => bench::bench(&options),
        Command::Package(options) => package::package(&options),
    }
}
