//! Reads a file's text, environment variables and `--set` arguments into [`Layer`]s that remember their origins.

use std::path::Path;

use model::Problem;
use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::layers::{Layer, Setting};
use super::origin::{Key, Origin};

/// The prefix of environment variables that are settings; `__` separates the parts of a key.
const ENV_PREFIX: &str = "DUETECTOR_";

/// The most parts of a variable's key, as many as TOML's parser allows: nested values are handled by recursion, and a
/// longer key could overflow the stack. Further `__` belong to the last part.
const MAX_PARTS: usize = 80;

/// Parses a file's text.
///
/// # Errors
/// The first position at which the text is not TOML.
pub(super) fn file(path: &Path, text: &str) -> Result<Layer, Problem> {
    let table = DeTable::parse(text).map_err(|cause| {
        let (line, column) = position(text, cause.span().map_or(0, |span| span.start));
        Problem::new(format!("{}:{line}:{column}", path.display()), format!("not TOML: {}", cause.message()))
    })?;
    let mut settings = Vec::new();
    flatten(table.get_ref(), text, path, &mut Vec::new(), &mut settings);
    Ok(settings.into_iter().collect())
}

fn flatten(table: &DeTable<'_>, text: &str, path: &Path, key: &mut Key, settings: &mut Vec<(Key, Setting)>) {
    for (name, value) in table {
        key.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(inner, text, path, key, settings),
            _ => {
                let (line, column) = position(text, name.span().start);
                let origin = Origin::File { path: path.to_owned(), line, column };
                settings.push((key.clone(), Setting { value: plain(value), origin, typed: None }));
            }
        }
        key.pop();
    }
}

/// Returns a parsed value without its spans.
fn plain(value: &Spanned<DeValue<'_>>) -> Value {
    let fallback = || Value::String(format!("{:?}", value.get_ref()));
    Value::deserialize(toml::de::ValueDeserializer::from(value.clone())).unwrap_or_else(|_| fallback())
}

/// Returns the line and the column (in characters) of a byte offset, counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

/// Reads environment variables such as `DUETECTOR_TRACER__OPEN__DISABLED=true`. Variables without `__` in their name
/// are not settings: every setting is in a section.
pub(super) fn env(variables: impl Iterator<Item = (String, String)>) -> Layer {
    let setting = |(name, text): (String, String)| {
        let key = name.strip_prefix(ENV_PREFIX).filter(|key| key.contains("__"))?;
        let key = key.to_lowercase().splitn(MAX_PARTS, "__").map(str::to_owned).collect();
        Some((key, guess(&text, Origin::Env(name))))
    };
    variables.filter_map(setting).collect()
}

/// Reads `--set a.b=c` arguments.
///
/// # Errors
/// All arguments that do not have this form.
pub(super) fn set(arguments: &[String]) -> Result<Layer, Vec<Problem>> {
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for argument in arguments {
        let parts = argument.split_once('=').map(|(key, text)| (split_key(key.trim()), text));
        match parts {
            Some((Some(key), text)) => settings.push((key, guess(text, Origin::Set(argument.clone())))),
            _ => problems.push(Problem::new(
                format!("--set {argument}"),
                "expected section.key=value, as in --set tracer.open.disabled=true",
            )),
        }
    }
    if problems.is_empty() { Ok(settings.into_iter().collect()) } else { Err(problems) }
}

/// Splits a dotted key; parts may be quoted as in TOML.
fn split_key(key: &str) -> Option<Key> {
    let table: Table = toml::from_str(&format!("{key} = 0")).ok()?;
    Layer::of_table(&table, &Origin::Default).iter().next().map(|(key, _)| key.clone())
}

/// Guesses the type of a text. The text is kept, in case the setting expects another type.
fn guess(text: &str, origin: Origin) -> Setting {
    Setting { value: guess_value(text), origin, typed: Some(text.to_owned()) }
}

/// Returns a text as a TOML value if it is one, else as a string.
pub(super) fn guess_value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok();
    // A text with several lines may define further keys.
    let parsed = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    parsed.filter(|value| !value.is_table()).unwrap_or_else(|| Value::String(text.to_owned()))
}
