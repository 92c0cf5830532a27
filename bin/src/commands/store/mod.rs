//! `store`: shows and checks the columnar store, brings in rows of other files, and seals and removes rows by hand.

mod import;
mod seal;
mod status;
mod store_file;
mod verify;

use clap::{Args, Subcommand};

use crate::cli_common::Common;
use crate::exit::Outcome;
use crate::output::Output;

/// Name of the hidden command that the agent runs in a process of its own.
pub(crate) const MAINTAIN: &str = "maintain";

/// Options of `store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the rows and accounts of a file of duetector's layout into the store: a file of an earlier version, or one that Python
    /// duetector wrote. The file is not changed. Rows that were brought in before are not brought in again, and an import that was
    /// interrupted goes on where it was. Works while an agent is running. Exit code 1 if some rows can't be read
    Import(import::ImportArgs),
    /// Show the segments of the store, the rows that are not sealed yet, and for how many days there is room
    Status(FormatArgs),
    /// Check that nothing in the store was altered, is missing or damaged. What was removed to make room is not a finding. Exit
    /// code 1 if there are findings
    Verify(FormatArgs),
    /// Remove the oldest segments as the limits in section [store] demand. The agent does that by itself
    Prune(FormatArgs),
    /// Seal all rows now. The agent does that by itself, when they are old or large enough (section [store])
    Seal(FormatArgs),
    /// Do what the agent asks for on stdin
    #[command(name = MAINTAIN, hide = true)]
    Maintain,
}

#[derive(Debug, Args)]
struct FormatArgs {
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Runs the subcommand.
pub(crate) fn run(common: &Common, args: &StoreArgs) -> Outcome {
    match &args.command {
        Command::Import(args) => import::run(common, args),
        Command::Status(args) => status::run(common, args.format),
        Command::Verify(args) => verify::run(common, args.format),
        Command::Prune(args) => seal::prune(common, args.format),
        Command::Seal(args) => seal::seal(common, args.format),
        Command::Maintain => seal::maintain(),
    }
}
