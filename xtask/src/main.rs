//! The one front door for automation: `cargo xtask start | test | vm | fuzz | fmt | bench`. Each command does its own
//! set-up, so that a fresh machine with cargo and a C compiler is enough.

mod bench;
mod fmt;
mod fuzz;
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
    /// Install what the build needs, build, and run the agent (as root, so that the kernel tracers load)
    Start {
        /// Passed on to `duetector-actors start`, after `--`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Install what the tests need, then check format and lints and run every test
    Test {
        /// Run only the tests whose name contains this; format and lints are not checked then
        filter: Option<String>,
    },
    /// Format all Rust code
    Fmt,
    /// Run the kernel suites inside virtual machines on other kernels, and here; print one table
    Vm(vm::Options),
    /// Feed everything that reads what others write with made-up input, guided by coverage (nightly Rust)
    Fuzz(fuzz::Options),
    /// Measure what the agent costs and print one table
    Bench(bench::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Start { args } => start::start(&args),
        Command::Test { filter } => test::test(filter.as_deref()),
        Command::Vm(options) => vm::vm(&options),
        Command::Fuzz(options) => fuzz::fuzz(&options),
        Command::Fmt => fmt::fmt(),
        Command::Bench(options) => bench::bench(&options),
    }
}
