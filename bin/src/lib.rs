//! `duetector-actors`: records how data is used on a Linux host, and answers what happened.
//!
//! This crate links all others: it reads the configuration, assembles the actors, talks to people. It is a library
//! so that its own input (the configuration) can be put to the test like the other crates'; the program is [`main`].

mod agent;
mod assemble;
mod child;
mod cli;
mod cli_common;
mod commands;
mod config;
mod control;
mod daemon;
pub mod exercise;
mod exit;
#[cfg(feature = "fault-injection")]
mod faults;
mod hangup;
mod live;
mod logging;
mod output;
mod part;
mod reload;
mod status;
mod turn;
mod workdir;

use std::process::ExitCode;

use clap::Parser as _;

/// The program.
pub fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
