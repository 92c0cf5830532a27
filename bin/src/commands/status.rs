//! `status`: the state of the running agent.

use std::path::Path;

use clap::Args;

use crate::control::fetch;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};
use crate::status::{Detail, render};

/// Options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// List all tracers. By default, tracers that have seen nothing and have no problem are only counted
    #[arg(long)]
    all: bool,
    /// Show each filter in full: the parts that run in the kernel and the parts that run in the collector
    #[arg(long)]
    filters: bool,
    /// Format of the output; JSON always has everything
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Prints the state of the agent. Fails while a tracer is still starting.
pub(crate) fn run(workdir: &Path, args: &StatusArgs) -> Outcome {
    let status = fetch(workdir)?;
    let detail = Detail { all: args.all, filters: args.filters };
    match args.format {
        Output::Json => output::print(&to_json(&status)?)?,
        Output::Table => output::print(&render(&status, detail))?,
    }
    if status.is_settled() { Ok(()) } else { Err(Failure::No) }
}
