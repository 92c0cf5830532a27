//! `duetector-actors`: records how data is used on a Linux machine, and answers queries about what was recorded.
//!
//! This crate uses all others: it reads the configuration, starts the actors, and implements the command line. It is a
//! library so that fuzz targets and tests can call it; the program itself is only [`main`].

mod agent;
mod assemble;
mod changes;
mod child;
mod cli;
mod cli_common;
mod commands;
mod completion;
mod config;
mod control;
mod daemon;
mod enable;
mod examples;
mod exit;
#[cfg(feature = "fault-injection")]
mod faults;
pub mod fuzz_targets;
mod hangup;
mod live;
mod logging;
mod new_file;
mod output;
mod progress;
mod read;
mod reload;
mod sealer;
mod service;
mod socket;
mod startup;
mod status;
mod subsystem;
mod unpinning;
mod workdir;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use clap_complete::CompleteEnv;
use exit::Failure;

/// Parses the command line, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    // Ends the program if a shell asks how a word goes on.
    CompleteEnv::with_factory(cli::Cli::command).complete();
    let matches = examples::add(cli::Cli::command()).get_matches();
    let cli = cli::Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::No) {
                output::complain(&format!("error: {}", failure.words()));
            }
            ExitCode::from(failure.code())
        }
    }
}
