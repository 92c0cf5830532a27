//! `brief`: a summary of the store, whether or not an agent is running.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use analyzer::{Store, render};
use clap::Args;

use super::query::{failure, open, stdout};
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Options of `brief`.
#[derive(Debug, Args)]
pub(crate) struct BriefArgs {
    /// List all tracers. By default, tracers that have stored, seen and lost nothing are only counted
    #[arg(long)]
    all: bool,
    /// Format of the output; JSON always has everything
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Prints the summary.
pub(crate) fn run(common: &Common, args: &BriefArgs) -> Outcome {
    print(&open(common)?, args)
}

/// Prints the summary of a store as a table, as `start` does at its end.
pub(crate) fn print_table(files: &[PathBuf]) -> Outcome {
    let store = Store::open_all(files).map_err(failure)?;
    print(&store, &BriefArgs { all: false, format: Output::Table })
}

fn print(store: &Store, args: &BriefArgs) -> Outcome {
    let brief = store.brief().map_err(failure)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.format {
        Output::Table => render::brief_table(&brief, args.all, stdout(false), &mut out)
            .and_then(|left_out| print_left_out(left_out, &mut out)),
        Output::Json => render::brief_json(&brief, &mut out),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::Error::new(error).context("writing to stdout")))
        }
        _ => Ok(()),
    }
}

fn print_left_out(count: usize, out: &mut impl Write) -> io::Result<()> {
    match count {
        0 => {}
        1 => writeln!(out, "\n1 tracer without rows is not listed; `brief --all` lists it too")?,
        _ => writeln!(out, "\n{count} tracers without rows are not listed; `brief --all` lists them too")?,
    }
    out.flush()
}
