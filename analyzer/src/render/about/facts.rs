//! Columns and fields of a row that its phrase is made from, and the ways in which phrases write them.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::super::names::Names;

/// Characters of a command line that are shown; `--columns argv` shows all of it.
const ARGUMENTS_SHOWN: usize = 80;

/// Items of a long list that are shown before "and N more".
const LISTED: usize = 4;

/// The columns of a row that its phrase is made from.
pub(in super::super) struct Facts<'a> {
    pub(in super::super) tracer: &'a str,
    pub(in super::super) path: Option<&'a str>,
    pub(in super::super) count: Option<i64>,
    /// The fields of `extended`.
    pub(in super::super) fields: &'a Map<String, Value>,
    pub(in super::super) names: &'a Names,
}

impl Facts<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    pub(super) fn unsigned(&self, name: &str) -> Option<u64> {
        self.fields.get(name)?.as_u64()
    }

    pub(super) fn signed(&self, name: &str) -> Option<i64> {
        self.fields.get(name)?.as_i64()
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Texts of a list; none where there is no such list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let list = self.fields.get(name).and_then(Value::as_array);
        list.map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// ` (A|B)` for the flags in field `name`, nothing where none is set.
    pub(super) fn flags(&self, name: &str) -> String {
        in_parentheses(&self.list(name).join("|"))
    }

    /// The system call, with a space after it.
    pub(super) fn call(&self) -> Option<&str> {
        self.text("call")
    }
}

/// The command line in `argv`, with words quoted where they have spaces, and cut where it is long.
pub(super) fn arguments(row: &Facts<'_>) -> Option<String> {
    let words = row.fields.get("argv")?.as_array()?.iter().filter_map(Value::as_str);
    let line = words.map(quoted).collect::<Vec<_>>().join(" ");
    let cut = line.char_indices().nth(ARGUMENTS_SHOWN);
    Some(cut.map_or_else(|| line.clone(), |(at, _)| format!("{}…", &line[..at])))
}

fn quoted(word: &str) -> Cow<'_, str> {
    if word.is_empty() || word.contains([' ', '\t', '\n', '\'']) {
        Cow::Owned(format!("'{word}'"))
    } else {
        Cow::Borrowed(word)
    }
}

pub(super) fn in_parentheses(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

/// The first few of a list, and how many there are beside them.
pub(super) fn shortened(list: &[&str]) -> String {
    match list.split_at_checked(LISTED) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => list.join(", "),
    }
}
