//! `top`: the busiest files, processes, users and peers of the last seconds, on a screen that is drawn anew each second, or once as
//! JSON.

mod accounts;
mod ask;
mod draw;
mod feed;
mod keys;
mod once;
mod screen;
mod view;
mod words;

use std::io::{self, IsTerminal as _};

use analyzer::query::Where;
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;
use expression::Expression;

use super::selection::with_labels;
use crate::cli_common::Common;
use crate::completion;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};

/// Longest window in seconds. Sums are kept for each second of it.
const LONGEST: u64 = 300;

/// Options of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Sum over this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    window: u64,
    /// Count only rows for which this expression (CEL) is true, for example 'fname.startsWith("/data/")'
    #[arg(long = "where", value_name = "CEL", add = ArgValueCandidates::new(completion::columns))]
    filter: Option<Where>,
    /// Order of the lines
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
    /// Wait for one window, print what was counted in it, and end. Needs no terminal
    #[arg(long)]
    once: bool,
    /// Format of what --once prints
    #[arg(long, value_enum, default_value_t, requires = "once")]
    format: Output,
    /// Most lines of each table that --once prints
    #[arg(long, value_name = "N", default_value_t = 20, requires = "once")]
    limit: usize,
}

/// The order of lines: largest first.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Order {
    /// All bytes together
    #[default]
    Bytes,
    /// Bytes read
    Read,
    /// Bytes written
    Written,
    /// Opens
    Opens,
    /// Rows of all tracers
    Rows,
}

impl Order {
    fn sort(self) -> analyzer::top::Sort {
        use analyzer::top::Sort;
        match self {
            Self::Bytes => Sort::Bytes,
            Self::Read => Sort::Read,
            Self::Written => Sort::Written,
            Self::Opens => Sort::Opens,
            Self::Rows => Sort::Rows,
        }
    }
}

/// Returns the filter that a condition is, and why it may never be true.
///
/// # Errors
/// It is no expression, or names an unknown label.
fn to_filter(common: &Common, wanted: Where) -> Result<(Expression, Option<String>), Failure> {
    let warning = wanted.never_true().into_iter().next();
    match with_labels(common, wanted)? {
        Where::Expression(expression) => Ok((expression, warning)),
        Where::Equal(condition) => {
            let value = condition.value.unwrap_or_default();
            Err(Failure::Usage(anyhow::anyhow!(
                "top takes expressions: {} == '{value}', or without quotes if it is a number",
                condition.column
            )))
        }
    }
}

/// Shows the screen, or prints once.
pub(crate) fn run(common: &Common, args: &TopArgs) -> Outcome {
    let filter = args.filter.clone().map(|wanted| to_filter(common, wanted)).transpose()?;
    if let Some((_, Some(warning))) = &filter {
        output::complain(&format!("warning: --where: {warning}"));
    }
    let filter = filter.map(|(filter, _)| filter);
    if args.once {
        return once::run(&common.workdir()?, args, filter);
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        let why = "top needs a terminal; without one, use top --once, which prints and ends";
        return Err(Failure::Usage(anyhow::anyhow!(why)));
    }
    screen::run(common, args, filter)
}
