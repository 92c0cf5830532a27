//! Layers of settings, flattened to leaves: a dotted key, a value, and where it came from. An array is a leaf.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use model::Problem;
use serde::{Serialize, Serializer};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// Prefix of environment variables that are settings; `__` stands between the parts of a key.
const ENV_PREFIX: &str = "DUETECTOR_";

/// Where a value came from. Later ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Nobody said otherwise.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// Nobody said otherwise in a file of duetector's: its default.
    Duetector(PathBuf),
    /// An environment variable.
    Env(String),
    /// `--set`.
    Set(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Duetector(path) => write!(f, "{}, duetector's default", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Set(argument) => write!(f, "--set {argument}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A key's parts.
pub(crate) type Key = Vec<String>;

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// What was typed, where the value's type had to be guessed from text.
    pub(crate) typed: Option<String>,
}

/// Settings by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leaves(pub(crate) BTreeMap<Key, Leaf>);

impl Leaves {
    /// Puts a setting over those there are. One that was a table below this key gives way, but not to an empty
    /// section, which says nothing.
    pub(super) fn put(&mut self, key: Key, leaf: Leaf) {
        let empty = leaf.value.as_table().is_some_and(Table::is_empty);
        if empty && self.0.keys().any(|other| is_below(other, &key)) {
            return;
        }
        self.0.retain(|other, _| !(is_below(other, &key) || is_below(&key, other)));
        self.0.insert(key, leaf);
    }

    /// Puts all of `over`'s settings over these.
    pub(crate) fn merge(&mut self, over: Self) {
        for (key, leaf) in over.0 {
            self.put(key, leaf);
        }
    }

    /// These but for one.
    pub(crate) fn without(&self, key: &Key) -> Self {
        let mut rest = self.clone();
        rest.0.remove(key);
        rest
    }

    /// Makes files that settings name absolute: those in a file are relative to its folder, all others to where we
    /// are. What runs must not depend on where the agent was started.
    pub(crate) fn resolve_paths(&mut self) {
        for (key, leaf) in &mut self.0 {
            let is_path = matches!(&key[..], [a, b, c, _, e] if [a, b, c, e] == ["tracer", "template", "bpf", "program"]);
            let Some(path) = leaf.value.as_str().filter(|path| is_path && !path.is_empty()) else { continue };
            let base = match &leaf.origin {
                Origin::File(file, _) => file.parent().unwrap_or(Path::new("")),
                _ => Path::new(""),
            };
            // It can only fail where there is no current folder; then the path stays as it was said.
            if let Ok(absolute) = std::path::absolute(base.join(path)) {
                leaf.value = Value::String(absolute.to_string_lossy().into_owned());
                leaf.typed = None;
            }
        }
    }

    /// The nested table of these settings.
    pub(crate) fn to_table(&self) -> Table {
        let mut root = Table::new();
        for (key, leaf) in &self.0 {
            let Some((last, parents)) = key.split_last() else { continue };
            let parent = parents.iter().try_fold(&mut root, |table, part| {
                table.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
            });
            // Always there: `put` keeps leaves and tables apart.
            if let Some(parent) = parent {
                parent.insert(last.clone(), leaf.value.clone());
            }
        }
        root
    }

    /// The setting at `key`, or the nearest thing to it: one below that somebody gave, or one above.
    pub(crate) fn near(&self, key: &[String]) -> Option<(&Key, &Leaf)> {
        let exact = self.0.get_key_value(key);
        let given = |leaf: &Leaf| leaf.origin != Origin::Default;
        exact
            .or_else(|| self.0.iter().find(|(other, leaf)| is_below(other, key) && given(leaf)))
            .or_else(|| self.0.iter().find(|(other, _)| is_below(key, other)))
            .or_else(|| self.0.iter().find(|(other, _)| is_below(other, key)))
    }
}

fn is_below(key: &[String], above: &[String]) -> bool {
    key.len() > above.len() && key.starts_with(above)
}

/// Flattens a table of known origin.
pub(crate) fn of_table(table: &Table, origin: &Origin) -> Leaves {
    let mut leaves = Leaves::default();
    flatten(table, &mut Vec::new(), &mut |key, value| {
        leaves.0.insert(key, Leaf { value, origin: origin.clone(), typed: None });
    });
    leaves
}

fn flatten(table: &Table, key: &mut Key, leaf: &mut impl FnMut(Key, Value)) {
    for (name, value) in table {
        key.push(name.clone());
        match value {
            Value::Table(inner) if !inner.is_empty() => flatten(inner, key, leaf),
            other => leaf(key.clone(), other.clone()),
        }
        key.pop();
    }
}

/// Parses a file's text, remembering lines.
pub(crate) fn of_file(path: &Path, text: &str) -> Result<Leaves, Problem> {
    let table = DeTable::parse(text).map_err(|cause| {
        let at = cause.span().map_or(0, |span| span.start);
        let (line, column) = (line_of(text, at), column_of(text, at));
        Problem::new(format!("{}:{line}:{column}", path.display()), format!("not TOML: {}", cause.message()))
    })?;
    let mut leaves = Leaves::default();
    flatten_spanned(table.get_ref(), text, path, &mut Vec::new(), &mut leaves);
    Ok(leaves)
}

fn flatten_spanned(table: &DeTable<'_>, text: &str, path: &Path, key: &mut Key, leaves: &mut Leaves) {
    for (name, value) in table {
        key.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten_spanned(inner, text, path, key, leaves),
            _ => {
                let origin = Origin::File(path.to_owned(), line_of(text, name.span().start));
                leaves.0.insert(key.clone(), Leaf { value: plain(value), origin, typed: None });
            }
        }
        key.pop();
    }
}

/// A parsed value without its spans.
fn plain(value: &Spanned<DeValue<'_>>) -> Value {
    use serde::Deserialize as _;
    let fallback = || Value::String(format!("{:?}", value.get_ref()));
    Value::deserialize(toml::de::ValueDeserializer::from(value.clone())).unwrap_or_else(|_| fallback())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn column_of(text: &str, offset: usize) -> usize {
    let line = text.get(..offset).and_then(|before| before.rsplit('\n').next());
    line.map_or(1, |line| line.chars().count() + 1)
}

/// Settings from environment variables: `DUETECTOR_TRACER__OPEN__DISABLED=true`. Names without `__` are not
/// settings (every setting is in a section).
pub(crate) fn of_env(variables: impl Iterator<Item = (String, String)>) -> Leaves {
    let mut leaves = Leaves::default();
    for (name, text) in variables {
        let Some(key) = name.strip_prefix(ENV_PREFIX).filter(|key| key.contains("__")) else { continue };
        let key = key.to_lowercase().split("__").map(str::to_owned).collect();
        leaves.put(key, guess(&text, Origin::Env(name)));
    }
    leaves
}

/// Settings from `--set a.b=c`.
pub(crate) fn of_set(arguments: &[String]) -> Result<Leaves, Vec<Problem>> {
    let (mut leaves, mut problems) = (Leaves::default(), Vec::new());
    for argument in arguments {
        let parts = argument.split_once('=').map(|(key, text)| (split_key(key.trim()), text));
        match parts {
            Some((Some(key), text)) => leaves.put(key, guess(text, Origin::Set(argument.clone()))),
            _ => problems.push(Problem::new(
                format!("--set {argument}"),
                "expected section.key=value, as in --set tracer.open.disabled=true",
            )),
        }
    }
    if problems.is_empty() { Ok(leaves) } else { Err(problems) }
}

/// Splits a dotted key; parts may be quoted as in TOML.
fn split_key(key: &str) -> Option<Key> {
    let table: Table = toml::from_str(&format!("{key} = 0")).ok()?;
    let mut parts = Vec::new();
    flatten(&table, &mut Vec::new(), &mut |key, _| parts = key);
    Some(parts)
}

/// What a text means at first sight; what was typed is kept, for keys that want it another way.
fn guess(text: &str, origin: Origin) -> Leaf {
    Leaf { value: guess_value(text), origin, typed: Some(text.to_owned()) }
}

/// A TOML value if the text is one, else the text itself.
pub(crate) fn guess_value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok();
    // More than one key: the text had lines of its own.
    let parsed = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    parsed.filter(|value| !value.is_table()).unwrap_or_else(|| Value::String(text.to_owned()))
}
