//! `store`: commands on the store as a whole, each in a file of its own.

mod import;

use clap::{Args, Subcommand};

use crate::cli_common::Common;
use crate::exit::Outcome;

/// The subcommands of `store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Bring the rows and accounts of a file of duetector's layout into the store: a file of an earlier version, or one that Python
    /// duetector wrote. The file is not changed. Rows that were brought in before are not brought in again, and an import that was
    /// interrupted goes on where it was. Works while an agent is running. Exit code 1 if some rows can't be read
    Import(import::ImportArgs),
}

/// Runs the subcommand.
pub(crate) fn run(common: &Common, args: &StoreArgs) -> Outcome {
    match &args.command {
        StoreCommand::Import(args) => import::run(common, args),
    }
}
