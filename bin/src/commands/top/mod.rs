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
use expression::{Expression, Labels};

use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};

/// Longest window in seconds. Sums are kept for each second of it.
const LONGEST: u64 = 300;

/// Options of `top`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TopArgs {
    /// Sum over this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    window: u64,
    /// Count only rows for which this expression (CEL) is true, for example 'fname.startsWith("/data/")'
    #[arg(long = "where", value_name = "CEL", value_parser = parse_filter)]
    filter: Option<Expression>,
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

/// Returns the expression of `--where`.
fn parse_filter(text: &str) -> Result<Expression, String> {
    match text.parse::<Where>()? {
        Where::Expression(expression) => Ok(expression),
        Where::Equal(condition) => {
            let value = condition.value.unwrap_or_default();
            Err(format!(
                "top takes expressions: {} == '{value}', or without quotes if it is a number",
                condition.column
            ))
        }
    }
}

/// Returns the expression with these labels.
fn with_labels(filter: Expression, labels: &Labels) -> Result<Expression, String> {
    match Where::Expression(filter).with_labels(labels)? {
        Where::Expression(expression) => Ok(expression),
        Where::Equal(_) => Err("top takes expressions".to_owned()),
    }
}

/// Shows the screen, or prints once.
pub(crate) fn run(common: &Common, args: &TopArgs) -> Outcome {
    let workdir = common.workdir()?;
    let asks = args.filter.as_ref().is_some_and(Expression::has_labels);
    // On the screen, another expression may ask for labels. Without a valid configuration there are none.
    let labels = match common.load() {
        Err(cause) if asks => return Err(cause),
        config => config.map(|config| config.label.expressions()).unwrap_or_default(),
    };
    let filter = args.filter.clone().map(|filter| with_labels(filter, &labels)).transpose();
    let filter = filter.map_err(|cause| Failure::Usage(anyhow::anyhow!("--where: {cause}")))?;
    let args = &TopArgs { filter, ..args.clone() };
    if let Some(filter) = &args.filter {
        for warning in Where::Expression(filter.clone()).never_true() {
            output::complain(&format!("warning: --where: {warning}"));
        }
    }
    if args.once {
        return once::run(&workdir, args);
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        let why = "top needs a terminal; without one, use top --once, which prints and ends";
        return Err(Failure::Usage(anyhow::anyhow!(why)));
    }
    screen::run(&workdir, args, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_an_expression_and_the_error_shows_how_to_write_one() {
        assert!(parse_filter("uid == 0 && fname.startsWith('/data/')").is_ok());
        let error = parse_filter("comm=cat").expect_err("a condition");
        assert!(error.contains("comm == 'cat'"), "{error}");
        assert!(parse_filter("uid ==").is_err());
    }
}
