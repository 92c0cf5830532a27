//! Short phrases that say what a row is about, for the last column of the table: what was done and to what, in the
//! words of Linux. Each built-in tracer has a phrase of its own in [`PHRASES`]. A row of any other tracer, or one that
//! lacks the fields its phrase needs, shows its path, else all its fields as `name=value`.

mod agent;
mod facts;
mod files;
mod network;
mod objects;
mod processes;
mod units;

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{escape, json};
pub(super) use facts::Facts;
use facts::{arguments, in_parentheses};
pub(crate) use units::bytes;

/// Fields that say where a process runs, not what it did; left out where all fields of a row are listed.
const CONTEXT_FIELDS: [&str; 11] = [
    "cgroup",
    "cgroup_id",
    "pid_ns",
    "mnt_ns",
    "net_ns",
    "ns_pid",
    "loginuid",
    "sessionid",
    "ruid",
    "fsuid",
    "tracer_name",
];

/// Makes the phrase of one row; `None` where the row lacks a field that the phrase needs.
type Phrase = fn(&Facts<'_>) -> Option<String>;

/// The phrase of each built-in tracer, by the name its rows are stored under unless the configuration gives another.
const PHRASES: [(&str, Phrase); 28] = [
    ("open", files::open),
    ("exec", processes::exec),
    ("clone", processes::clone),
    ("exit", processes::exit),
    ("connect", network::connect),
    ("rename", files::rename),
    ("unlink", files::unlink),
    ("link", files::link),
    ("truncate", files::truncate),
    ("attr", files::attr),
    ("mkdir", files::mkdir),
    ("mount", files::mount),
    ("usage", files::usage),
    ("ptrace", processes::ptrace),
    ("bpf", processes::bpf),
    ("module", processes::module),
    ("memfd", processes::memfd),
    ("setuid", processes::setuid),
    ("kill", processes::kill),
    ("namespace", objects::namespace),
    ("ipc", objects::ipc),
    ("accept", network::accept),
    ("close", network::close),
    ("bind", network::bind),
    ("udp", network::udp),
    ("dns", network::dns),
    ("loss", agent::loss),
    ("manifest", agent::manifest),
];

/// Names of the tracers that have a phrase of their own.
pub fn tracers_with_phrases() -> impl Iterator<Item = &'static str> {
    PHRASES.iter().map(|(tracer, _)| *tracer)
}

/// The phrase of a row, harmless for terminals.
pub(super) fn phrase(row: &Facts<'_>) -> String {
    let found = PHRASES.iter().find(|(tracer, _)| *tracer == row.tracer);
    let Some(mut words) = found.and_then(|(_, phrase)| phrase(row)) else { return general(row) };
    words.push_str(&in_parentheses(row.text("errno").unwrap_or_default()));
    escape::visible(&words).into_owned()
}

/// The phrase of a tracer that this module does not know.
fn general(row: &Facts<'_>) -> String {
    match (row.path, arguments(row)) {
        (Some(path), Some(line)) => escape::visible(&format!("{path}: {line}")).into_owned(),
        (Some(path), None) => escape::visible(path).into_owned(),
        (None, _) => all_fields(row.fields),
    }
}

/// An object on one line: `daddr=10.0.0.1 dport=443`.
fn all_fields(fields: &Map<String, Value>) -> String {
    let fields = fields.iter().filter(|(name, _)| !CONTEXT_FIELDS.contains(&name.as_str()));
    let fields = fields.map(|(name, value)| {
        let value = match value {
            Value::String(text) => escape::visible(text),
            value => Cow::Owned(json::text(value)),
        };
        format!("{}={value}", escape::visible(name))
    });
    fields.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
