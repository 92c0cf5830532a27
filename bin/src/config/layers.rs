//! Layers of settings, merged by the `config` crate.
//!
//! A [`Layer`] maps keys to values and remembers for each value where it comes from. It implements
//! [`config::Source`]; [`Layer::stack`] gives the layers to `config`'s builder, the weakest first:
//!
//! ```text
//! --set         ebpf.queue = 3                                       strongest
//! environment                    tracer.open.name = "by_env"
//! file          ebpf.queue = 9   tracer.open.name = "by_file"
//! defaults      ebpf.queue = 16  tracer.open.name = "open"  …        weakest
//! ─────────────────────────────────────────────────────────────────────────────
//! stack         ebpf.queue = 3   tracer.open.name = "by_env"
//!               (--set …)        (environment DUETECTOR_TRACER__OPEN__NAME)
//! ```
//!
//! `config` merges tables key by key and replaces every other value, lists included. Its own `Value::origin` is a
//! text and is dropped for tables, so the structured origin is found afterwards by key: a value that is left after
//! the merge comes from the strongest layer that sets exactly this key.
//!
//! Three things are not left to the crate. Values are checked by [`super::check`], because `config` converts types
//! silently ("yes" becomes true, 1.6 becomes 2) and stops at the first error. The environment is read by
//! [`super::parse`], because `config::Environment` does not keep the variable's name. Everything lies below one
//! root key ([`ROOT`]), because only top-level keys are parsed as path expressions: below it, a name such as "a.b"
//! or "[0]" is taken literally and keeps its case.

use std::collections::BTreeMap;
use std::path::Path;

use config::{ConfigError, Map, ValueKind};
use toml::{Table, Value};

use super::origin::{Key, Origin};

/// The top-level key under which a layer hands its settings to `config`.
const ROOT: &str = "settings";

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// The original text, if the type of `value` was guessed from it.
    pub(crate) typed: Option<String>,
}

/// Settings by key. No key lies below another one: a list is one value, and a table is one only if it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layer(BTreeMap<Key, Setting>);

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, ConfigError> {
        let mut settings = Map::new();
        for (key, setting) in &self.0 {
            let origin = setting.origin.to_string();
            insert(&mut settings, key, config::Value::new(Some(&origin), kind(&setting.value)));
        }
        Ok(Map::from([(ROOT.to_owned(), ValueKind::Table(settings).into())]))
    }
}

impl Layer {
    /// Returns a layer with a single setting.
    pub(super) fn of(key: Key, setting: Setting) -> Self {
        Self(BTreeMap::from([(key, setting)]))
    }

    /// Flattens a table, all of which has the same origin.
    pub(crate) fn of_table(table: &Table, origin: &Origin) -> Self {
        let mut layer = Self::default();
        layer.flatten(table, &mut Vec::new(), origin);
        layer
    }

    fn flatten(&mut self, table: &Table, key: &mut Key, origin: &Origin) {
        for (name, value) in table {
            key.push(name.clone());
            match value {
                Value::Table(inner) if !inner.is_empty() => self.flatten(inner, key, origin),
                value => {
                    let setting = Setting { value: value.clone(), origin: origin.clone(), typed: None };
                    self.0.insert(key.clone(), setting);
                }
            }
            key.pop();
        }
    }

    /// Merges layers, each over those before it.
    pub(crate) fn stack(layers: impl IntoIterator<Item = Self>) -> Self {
        let mut builder = config::Config::builder();
        let mut given = BTreeMap::new();
        for layer in layers {
            given.extend(layer.0.iter().map(|(key, setting)| (key.clone(), setting.clone())));
            builder = builder.add_source(layer);
        }
        // A layer can't fail to be collected; without any there is no root.
        let merged = builder.build().and_then(|merged| merged.get_table(ROOT)).unwrap_or_default();
        let mut stacked = Self::default();
        stacked.take(merged, &mut Vec::new(), &given);
        stacked
    }

    /// Adds what `config` made of all layers, with the origins of `given`.
    fn take(&mut self, merged: Map<String, config::Value>, key: &mut Key, given: &BTreeMap<Key, Setting>) {
        for (name, value) in merged {
            key.push(name);
            match value.kind {
                ValueKind::Table(inner) if !inner.is_empty() => self.take(inner, key, given),
                _ => {
                    if let Some(setting) = given.get(key) {
                        debug_assert!(value.origin().is_none_or(|it| it == setting.origin.to_string()));
                        let value = plain(value);
                        self.0.insert(key.clone(), Setting { value, ..setting.clone() });
                    }
                }
            }
            key.pop();
        }
    }

    /// Returns the settings as one nested table.
    pub(crate) fn to_table(&self) -> Table {
        let collected = config::Source::collect(self).unwrap_or_default().remove(ROOT);
        match collected.map(plain) {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        }
    }

    /// Iterates over the settings, ordered by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Setting)> {
        self.0.iter()
    }

    pub(crate) fn get(&self, key: &[String]) -> Option<&Setting> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &[String]) -> Option<&mut Setting> {
        self.0.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: &[String]) -> Option<Setting> {
        self.0.remove(key)
    }

    /// Removes the setting at `key` and all settings below it.
    pub(crate) fn remove_all(&mut self, key: &[String]) {
        self.0.retain(|other, _| !other.starts_with(key));
    }

    /// Returns the setting at `key`, or the nearest one: below it (preferably not a default), or above it.
    pub(crate) fn near(&self, key: &[String]) -> Option<(&Key, &Setting)> {
        let is_given = |setting: &Setting| setting.origin != Origin::Default;
        self.0
            .get_key_value(key)
            .or_else(|| self.0.iter().find(|(other, setting)| is_below(other, key) && is_given(setting)))
            .or_else(|| self.0.iter().find(|(other, _)| is_below(key, other)))
            .or_else(|| self.0.iter().find(|(other, _)| is_below(other, key)))
    }

    /// Makes the file names in settings absolute, so that what runs does not depend on the current folder of the
    /// agent: a name from a file is relative to that file's folder, every other one to the current folder.
    pub(crate) fn resolve_paths(&mut self) {
        for (key, setting) in &mut self.0 {
            let is_path = matches!(&key[..], [a, b, c, _, e] if [a, b, c, e] == ["tracer", "template", "bpf", "program"]);
            let Some(path) = setting.value.as_str().filter(|path| is_path && !path.is_empty()) else {
                continue;
            };
            let base = match &setting.origin {
                Origin::File { path, .. } => path.parent().unwrap_or(Path::new("")),
                _ => Path::new(""),
            };
            // This fails only if there is no current folder; then the path stays as it was written.
            if let Ok(absolute) = std::path::absolute(base.join(path)) {
                setting.value = Value::String(absolute.to_string_lossy().into_owned());
                setting.typed = None;
            }
        }
    }
}

impl FromIterator<(Key, Setting)> for Layer {
    /// Merges the settings, each over those before it.
    fn from_iter<I: IntoIterator<Item = (Key, Setting)>>(settings: I) -> Self {
        Self::stack(settings.into_iter().map(|(key, setting)| Self::of(key, setting)))
    }
}

fn is_below(key: &[String], above: &[String]) -> bool {
    key.len() > above.len() && key.starts_with(above)
}

/// Puts a value into a nested table.
fn insert(table: &mut Map<String, config::Value>, key: &[String], value: config::Value) {
    match key {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [section, rest @ ..] => {
            let section = table.entry(section.clone()).or_insert_with(|| ValueKind::Table(Map::new()).into());
            if let ValueKind::Table(inner) = &mut section.kind {
                insert(inner, rest, value);
            }
        }
    }
}

/// Converts TOML's value to one of `config`, which has no dates: a date becomes text, as in `config`'s own TOML reader.
fn kind(value: &Value) -> ValueKind {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Datetime(date) => date.to_string().into(),
        Value::Array(items) => ValueKind::Array(items.iter().map(|item| kind(item).into()).collect()),
        Value::Table(table) => {
            ValueKind::Table(table.iter().map(|(name, value)| (name.clone(), kind(value).into())).collect())
        }
    }
}

/// Converts back. This can't fail: [`kind`] makes nothing that TOML does not have.
fn plain(value: config::Value) -> Value {
    let text = value.to_string();
    value.try_deserialize().unwrap_or(Value::String(text))
}
