//! `brief`: the store summed up, agent running or not.

use std::io::{self, BufWriter};
use std::path::Path;

use analyzer::{Store, render};
use clap::Args;

use super::query::{failure, open, paper};
use crate::cli::Output;
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};

/// `brief`.
#[derive(Debug, Args)]
pub(crate) struct BriefArgs {
    /// How the brief looks
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Runs it.
pub(crate) fn run(common: &Common, args: &BriefArgs) -> Outcome {
    print(&open(common)?, args.format)
}

/// Prints the brief of a store as a table, as `start` does at its end.
pub(crate) fn print_table(store: &Path) -> Outcome {
    print(&Store::open(store).map_err(failure)?, Output::Table)
}

fn print(store: &Store, format: Output) -> Outcome {
    let brief = store.brief().map_err(failure)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match format {
        Output::Table => render::brief_table(&brief, paper(), &mut out),
        Output::Json => render::brief_json(&brief, &mut out),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::Error::new(error).context("writing to stdout")))
        }
        _ => Ok(()),
    }
}
