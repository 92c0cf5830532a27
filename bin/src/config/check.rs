//! Checks settings against the types of the sections, and finds everything that does not fit, each with its origin.
//!
//! serde stops at the first error. So the table is deserialized again and again: each time the refused setting is
//! reported and removed, until the rest is accepted.

use std::fmt;

use toml::Value;

use super::layers::{Layer, Setting};
use super::origin::{Key, Origin};
use super::parse;
use super::sections::Config;
use super::words::{in_words, unknown_field};

/// A problem with a key, and where that key was set.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Located {
    pub(super) origin: Origin,
    pub(super) key: Key,
    pub(super) message: String,
}

impl Located {
    /// Creates a problem, located at the setting `key` or at the nearest one that was given.
    pub(super) fn of(settings: &Layer, key: &Key, message: String) -> Self {
        let given = |key: &[String]| {
            let origin = settings.near(key).map(|(_, setting)| setting.origin.clone());
            origin.filter(|origin| *origin != Origin::Default)
        };
        // A setting that is missing has no origin, but its section has.
        let section = key.split_last().map_or(&[][..], |(_, section)| section);
        let origin = given(key).or_else(|| given(section)).unwrap_or(Origin::Default);
        Self { origin, key: key.clone(), message }
    }

    /// Returns whether the problem is about this key, a section above it, or a setting below it.
    pub(super) fn concerns(&self, key: &Key) -> bool {
        self.key.starts_with(key) || key.starts_with(&self.key)
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // serde's `[1]` is an index into the list before it.
        let key = self.key.join(".").replace(".[", "[");
        write!(f, "{}: {key}: {}", self.origin, self.message)
    }
}

/// A table that serde refuses: the key, and serde's message.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    key: Key,
    message: String,
}

/// Deserializes all settings that are acceptable. Returns the configuration, the settings it was made from, and the
/// problems with the others.
pub(super) fn deserialize(mut settings: Layer) -> (Config, Layer, Vec<Located>) {
    let mut problems = Vec::new();
    loop {
        let refusal = match attempt(&settings) {
            Ok(config) => return (config, settings, problems),
            Err(refusal) => refusal,
        };
        let unknown = unknown_field(&refusal.message);
        let mut key = refusal.key.clone();
        match &unknown {
            Some((name, _)) if key.last() != Some(name) => key.push(name.clone()),
            Some(_) => {}
            None => key = culprit(&settings, &refusal).unwrap_or(key),
        }
        let Some(found) = settings.near(&key).map(|(found, _)| found.clone()) else {
            problems.push(Located { origin: Origin::Default, key, message: refusal.message });
            return (Config::default(), settings, problems);
        };
        if unknown.is_none()
            && settings.get_mut(&found).is_some_and(|setting| reinterpret(setting, &refusal.message))
        {
            continue;
        }
        problems.push(Located::of(&settings, &key, in_words(&refusal.message)));
        settings.remove_all(&key);
        settings.remove(&found);
    }
}

fn attempt(settings: &Layer) -> Result<Config, Refusal> {
    serde_path_to_error::deserialize(Value::Table(settings.to_table())).map_err(|error| Refusal {
        key: error.path().iter().map(|part| part.to_string()).filter(|part| part != "?").collect(),
        message: error.inner().message().trim().to_owned(),
    })
}

/// Finds the refused setting if serde names only its section, as it does for sections with arbitrary keys: the
/// setting without which this refusal does not occur.
fn culprit(settings: &Layer, refusal: &Refusal) -> Option<Key> {
    let without = |key: &Key| {
        let mut rest = settings.clone();
        rest.remove(key);
        rest
    };
    let below = settings.iter().filter(|(key, setting)| {
        key.len() > refusal.key.len() && key.starts_with(&refusal.key) && setting.origin != Origin::Default
    });
    below.map(|(key, _)| key).find(|key| attempt(&without(key)).err().as_ref() != Some(refusal)).cloned()
}

/// Changes the value of a setting that was typed as text, if its type was guessed wrongly: a string that looks like a
/// number, or a list with commas. Returns whether it changed anything.
fn reinterpret(setting: &mut Setting, message: &str) -> bool {
    let Some(typed) = setting.typed.clone() else { return false };
    if message.contains("expected a sequence") {
        let items = typed.split(',').map(str::trim).filter(|item| !item.is_empty());
        // Done once only: from now on the list counts as what was typed.
        setting.value = Value::Array(items.map(parse::guess_value).collect());
        setting.typed = None;
        return true;
    }
    let wants_text =
        message.rsplit_once(", expected ").is_some_and(|(_, expected)| expected.contains("string"));
    if setting.value.is_str() || !wants_text {
        return false;
    }
    setting.value = Value::String(typed);
    true
}
