//! `top`: the busiest files, processes, users and peers of the last seconds, on a screen that is drawn anew each second, or once as
//! JSON.

mod accounts;
mod args;
mod ask;
mod draw;
mod feed;
mod keys;
mod once;
mod screen;
mod view;
mod words;

use std::io::{self, IsTerminal as _};

use args::to_filter;

pub(crate) use args::TopArgs;

use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output;

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
