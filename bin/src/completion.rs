//! Words that a shell completes: names of tracers, columns and tables.
//!
//! `source <(COMPLETE=bash duetector-actors)` makes a shell ask this program how a word goes on.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter as _};
use model::schema::{COLUMNS, FIELDS};

use crate::config::{Sources, load};

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

/// Returns targets of questions that begin like this: paths, and labels of the configuration that the command line names.
pub(crate) fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = PathCompleter::any().complete(current);
    let begins = |text: &str| current.to_str().is_some_and(|current| text.starts_with(current));
    let labels = labels(&std::env::args_os().collect::<Vec<_>>());
    found.extend(labels.into_iter().filter(|label| begins(label)).map(CompletionCandidate::new));
    found
}

/// Returns the labels of the configuration that the words of a command line name.
fn labels(words: &[OsString]) -> Vec<String> {
    let file = words.iter().position(|word| word == "--config").and_then(|at| words.get(at + 1));
    let sources =
        Sources { file: file.map(PathBuf::from), env: std::env::vars().collect(), ..Sources::default() };
    let labels = load(&sources).map(|loaded| loaded.config.label.0).unwrap_or_default();
    labels.keys().map(|name| format!("label:{name}")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_configuration_that_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "[label.secret]\nfiles = [\"/data/\"]\n").expect("written");
        let words = ["duetector-actors".into(), "--config".into(), file.path().into(), "uses".into()];
        assert_eq!(labels(&words), ["label:secret"]);
        assert_eq!(labels(&words[..1]), Vec::<String>::new());
    }
}
