//! `store import FILE`: brings a file of duetector's layout into the store.

use std::path::PathBuf;

use actors::clock;
use analyzer::render::escape;
use anyhow::Context as _;
use clap::Args;
use collector::sink::store::open_for_import;
use indicatif::{ProgressBar, ProgressStyle};
use store::import::{self, Import, Outcome as Imported};

use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output;

/// Options of `store import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file, for example duetector-dbcollector.sqlite3
    file: PathBuf,
}

/// Brings the rows in and prints how many.
pub(super) fn run(common: &Common, args: &ImportArgs) -> Outcome {
    let file = args.file.display();
    let path = common.load()?.collector.store.file(&common.workdir()?);
    let same = |path: &PathBuf| path.canonicalize().ok();
    if same(&path).is_some() && same(&path) == same(&args.file) {
        return Err(Failure::failed(format!("{file} is the store itself")));
    }
    // The file is looked at before the store is made.
    let source = import::open(&args.file).with_context(|| format!("opening {file}"))?;
    let store = open_for_import(&path).map_err(|cause| Failure::failed(cause.to_string()))?;
    let context = || format!("importing {file} into {}", path.display());
    let Some(found) = Import::of(source, &store, clock::zone()).with_context(context)? else {
        output::complain(&format!("{file} has no rows"));
        return Ok(());
    };
    let bar = bar(found.waiting(&store).with_context(context)?);
    let outcomes = found.run(&store, |rows| bar.inc(rows)).with_context(context);
    bar.finish_and_clear();
    report(&args.file.display().to_string(), &outcomes?)
}

/// Returns a progress bar, which is shown on a terminal only.
fn bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    let template = "{wide_bar} {human_pos} of {human_len} rows, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn report(file: &str, outcomes: &[Imported]) -> Outcome {
    let total = import::total(outcomes);
    if total.rows == 0 && total.first_unreadable.is_none() {
        output::print(&format!("already imported, {} rows", total.already))?;
    } else {
        for one in outcomes.iter().filter(|one| one.rows > 0) {
            let tracer = escape::visible(&one.tracer);
            output::print(&format!("{tracer}@{}: {} rows", escape::visible(&one.collector_id), one.rows))?;
        }
        let already =
            if total.already > 0 { format!(", {} were there already", total.already) } else { String::new() };
        output::print(&format!("{} rows imported{already}", total.rows))?;
    }
    if total.unreadable == 0 {
        return Ok(());
    }
    let first = total.first_unreadable.map(|first| format!("; the first: {}", escape::visible(&first)));
    Err(Failure::failed(format!(
        "{} rows of {file} can't be read, and are only there{}",
        total.unreadable,
        first.unwrap_or_default()
    )))
}
