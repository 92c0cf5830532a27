//! The options of `top`.

use analyzer::query::Where;
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;
use expression::Expression;

use crate::cli_common::Common;
use crate::commands::selection::with_labels;
use crate::completion;
use crate::exit::Failure;
use crate::output::Output;

/// Longest window in seconds. Sums are kept for each second of it.
const LONGEST: u64 = 300;

/// Options of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Add up the rows of the last seconds, this many (at most 300)
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    pub(super) window: u64,
    /// Count only rows for which this expression (CEL) is true, for example 'fname.startsWith("/data/")'
    #[arg(long = "where", value_name = "CEL", add = ArgValueCandidates::new(completion::columns))]
    pub(super) filter: Option<Where>,
    /// Order of the lines
    #[arg(long, value_enum, default_value_t)]
    pub(super) sort: Order,
    /// Wait for one window, print what was counted in it, and end. Needs no terminal
    #[arg(long)]
    pub(super) once: bool,
    /// Format of the output. Needs --once
    #[arg(long, value_enum, default_value_t, requires = "once")]
    pub(super) format: Output,
    /// Print at most N lines of each table. Needs --once
    #[arg(long, value_name = "N", default_value_t = 20, requires = "once")]
    pub(super) limit: usize,
}

/// The order of lines: largest first.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Order {
    /// All bytes together
    #[default]
    Bytes,
    /// Bytes read from files and sockets
    Read,
    /// Bytes written to files and sockets
    Written,
    /// Rows of the tracer open
    Opens,
    /// Rows of all tracers
    Rows,
}

impl Order {
    pub(super) fn sort(self) -> analyzer::top::Sort {
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
/// The condition is no expression, or names an unknown label.
pub(super) fn to_filter(common: &Common, wanted: Where) -> Result<(Expression, Option<String>), Failure> {
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
