//! Words that a shell completes: names of tracers, columns and tables.
//!
//! `source <(COMPLETE=bash duetector-actors)` makes a shell ask this program how a word goes on.

use clap_complete::CompletionCandidate;
use model::schema::{COLUMNS, FIELDS};

/// Tracers whose rows are not made by hooks in the kernel.
const OTHERS: [&str; 4] = ["uname", "loss", "manifest", "retention"];
/// Views of `sql` over the rows of all tracers.
const VIEWS: [&str; 4] = ["events", "processes", "files", "losses"];

/// Returns the names of the built-in tracers.
pub(crate) fn tracers() -> Vec<CompletionCandidate> {
    tracer_names().map(CompletionCandidate::new).collect()
}

/// Returns the tables and views of `sql`.
pub(crate) fn tables() -> Vec<CompletionCandidate> {
    tracer_names().chain(VIEWS).map(CompletionCandidate::new).collect()
}

/// Returns the columns, and the fields that count as columns, with what they are.
pub(crate) fn columns() -> Vec<CompletionCandidate> {
    described(|name| name.to_owned())
}

/// Returns the beginnings of conditions: a column and `=`.
pub(crate) fn conditions() -> Vec<CompletionCandidate> {
    described(|name| format!("{name}="))
}

fn tracer_names() -> impl Iterator<Item = &'static str> {
    bpf_programs::tracers().map(|tracer| tracer.name).chain(OTHERS)
}

fn described(word: impl Fn(&str) -> String) -> Vec<CompletionCandidate> {
    let columns = COLUMNS.iter().map(|column| (column.name(), column.about()));
    let fields = FIELDS.iter().map(|field| (field.name, field.about()));
    let candidate = |(name, about): (&str, &str)| {
        CompletionCandidate::new(word(name)).help(Some(about.to_owned().into()))
    };
    columns.chain(fields).map(candidate).collect()
}
