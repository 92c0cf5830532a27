//! `query`: prints the rows of the store that match conditions.

use std::io::{self, BufWriter, IsTerminal as _};

use analyzer::query::Undecided;
use analyzer::render::{self, Format};
use analyzer::{Answer, Query, Store};
use clap::Args;
use clap_complete::ArgValueCandidates;

pub(crate) use super::failures::failure;
use super::selection::Selection;
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::{completion, output};

/// Options of `query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Print only rows that were written under this collector id. By default, an agent writes rows under the machine's host
    /// name; the setting collector.id changes that
    #[arg(long, value_name = "ID")]
    collector_id: Option<String>,
    /// Print these columns; fields of `extended` count as columns. Default: the most useful ones for a table, all for other
    /// formats
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', add = ArgValueCandidates::new(completion::columns))]
    columns: Vec<String>,
    /// Order rows by these columns, then by time. Default: by time, the oldest first
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', add = ArgValueCandidates::new(completion::columns))]
    order_by: Vec<String>,
    /// Reverse the order, for every column of --order-by. Without --order-by: the newest rows first
    #[arg(long)]
    desc: bool,
    /// Print only one of several rows that are equal in all printed columns
    #[arg(long)]
    distinct: bool,
    /// Skip the first N rows
    #[arg(long, value_name = "N", default_value_t = 0)]
    start: u64,
    /// Print at most N rows (0: no limit). Default: 20; with --follow no limit
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print rows as the running agent stores them, until it stops or Ctrl-C. With --since, print the stored ones first. Rows
    /// that are printed too slowly are left out and counted; the exit code is then 1
    #[arg(long, conflicts_with_all = ["until", "order_by", "desc", "distinct", "start"])]
    follow: bool,
    /// Show users and groups by number. By default, tables show the names that this machine has for them; other formats
    /// always have the numbers
    #[arg(long)]
    pub(super) numeric: bool,
    /// Format of the rows: table, json (one array), jsonl (one object per line) or csv
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    pub(super) format: Format,
}

impl QueryArgs {
    /// Returns whether rows are followed as the agent stores them.
    pub(crate) fn is_following(&self) -> bool {
        self.follow
    }

    /// Returns the query that these options make.
    pub(super) fn query(&self, common: &Common) -> Result<Query, Failure> {
        self.selection.query(
            common,
            Query {
                collector_id: self.collector_id.clone(),
                columns: self.columns.clone(),
                order_by: self.order_by.clone(),
                desc: self.desc,
                distinct: self.distinct,
                start: self.start,
                limit: self.limit.unwrap_or(if self.follow { 0 } else { analyzer::query::DEFAULT_LIMIT }),
                ..Query::default()
            },
        )
    }
}

/// Prints the rows.
pub(crate) fn run(common: &Common, args: &QueryArgs) -> Outcome {
    let query = args.query(common)?;
    args.selection.warn();
    let store = open(common)?;
    warn_of_unknown_tracers(&store, &query)?;
    // Columns that only left-out rows have are unknown: the damage is the better explanation.
    let answer = store.query(&query).map_err(failure);
    let mut answer = answer.or_else(|unknown| damage(&store).and(Err(unknown)))?;
    let mut out = BufWriter::new(io::stdout().lock());
    match render::rows(&mut answer, args.format, stdout(args.numeric), &mut out) {
        Ok(_) => {}
        Err(error) if error.is_broken_pipe() => {}
        Err(error) => return Err(Failure::Failed(error.into())),
    }
    undecided(&answer);
    damage(&store)
}

/// Warns of rows that are left out because a condition had no result for them.
pub(crate) fn undecided(answer: &Answer<'_>) {
    if let Some(undecided) = answer.undecided() {
        complain_of_undecided(undecided);
    }
}

/// Warns of rows that are left out because an expression had no result for them.
pub(super) fn complain_of_undecided(Undecided { rows, first }: Undecided) {
    output::complain(&format!(
        "warning: --where has no answer for {rows} rows, which are left out; the first: {first}"
    ));
}

/// Fails if rows are missing in an answer because their batches are damaged. The others are printed.
pub(crate) fn damage(store: &Store) -> Outcome {
    let damaged = store.damaged();
    let Some(first) = damaged.first() else { return Ok(()) };
    let rows: i64 = damaged.iter().map(|batch| batch.rows).sum();
    Err(Failure::failed(format!(
        "{rows} rows are left out, because {} batches of the store are damaged; the first is {}: {}",
        damaged.len(),
        first.name,
        first.cause
    )))
}

/// Opens the store that the configuration and the work folder determine.
pub(crate) fn open(common: &Common) -> Result<Store, Failure> {
    Store::open_all(&common.store_files()?).map_err(failure)
}

/// Opens the store for a question that takes several reads: all are of one moment, whatever the agent writes meanwhile.
pub(crate) fn open_at_one_moment(common: &Common) -> Result<Store, Failure> {
    let store = open(common)?;
    // Ends when the store is closed.
    store.begin_snapshot().map_err(failure)?;
    Ok(store)
}

/// Returns the properties of stdout.
pub(crate) fn stdout(numeric: bool) -> render::Output {
    // 80 columns are usual for a terminal that does not report its width.
    let terminal = io::stdout().is_terminal().then(|| render::terminal_width().unwrap_or(80));
    render::Output { terminal, numeric, evidence: false }
}

/// Warns about tracers without a table: without the warning, a misspelled name looks as if nothing happened. It is not a
/// failure, because scripts query tracers that have not stored anything yet.
pub(super) fn warn_of_unknown_tracers(store: &Store, query: &Query) -> Outcome {
    for tracer in store.unknown_tracers(&query.tracers).map_err(failure)? {
        let nearest = tracer.nearest.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default();
        output::complain(&format!("warning: nothing is stored of tracer {:?}{nearest}", tracer.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_built_in_tracer_has_a_phrase_of_its_own() {
        let built_in = bpf_programs::tracers().map(|tracer| tracer.name);
        let expected: BTreeSet<&str> = built_in.chain(["loss", model::MANIFEST]).collect();
        assert_eq!(render::tracers_with_phrases().collect::<BTreeSet<_>>(), expected);
    }
}
