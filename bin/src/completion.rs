//! Words that a shell completes: names of tracers, columns and tables.
//!
//! `source <(COMPLETE=bash duetector-actors)` makes a shell ask this program how a word goes on.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter as _};
use model::schema::{COLUMNS, FIELDS};

use crate::cli_common::Common;

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

/// Returns the targets of questions that begin so: paths, and the labels of the configuration that is named on the line.
pub(crate) fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut words = std::env::args_os().skip_while(|word| word != "--config").skip(1);
    let common = Common { config: words.next().map(Into::into), ..Common::default() };
    // A configuration with errors has no labels to offer; the command then says what is wrong.
    let labels = common.load().map(|config| config.label).unwrap_or_default();
    let label = |(name, label): (&String, &analyzer::labels::LabelSettings)| {
        let candidate = CompletionCandidate::new(format!("label:{name}"));
        candidate.help((!label.purpose.is_empty()).then(|| label.purpose.clone().into()))
    };
    let mut found: Vec<_> = labels.0.iter().map(label).collect();
    found
        .retain(|candidate| candidate.get_value().to_string_lossy().starts_with(&*current.to_string_lossy()));
    found.extend(PathCompleter::any().complete(current));
    found
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
