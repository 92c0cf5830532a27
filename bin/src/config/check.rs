//! Layers checked against the sections' types: everything that does not fit, each with where it was said.

use std::fmt;

use toml::Value;

use super::layers::{self, Key, Leaf, Leaves, Origin};
use super::sections::Config;
use super::words::{in_words, unknown_field};

/// Something wrong at a key, and where that key was set.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Located {
    origin: Origin,
    key: Key,
    message: String,
}

impl Located {
    pub(super) fn of(leaves: &Leaves, key: &Key, message: String) -> Self {
        let given = |key: &[String]| {
            let origin = leaves.near(key).map(|(_, leaf)| leaf.origin.clone());
            origin.filter(|origin| *origin != Origin::Default)
        };
        // What is missing was said nowhere; its section was.
        let section = key.split_last().map_or(&[][..], |(_, section)| section);
        let origin = given(key).or_else(|| given(section)).unwrap_or(Origin::Default);
        Self { origin, key: key.clone(), message }
    }

    /// Whether it is about this key, its section, or something below it.
    pub(super) fn concerns(&self, key: &Key) -> bool {
        self.key.starts_with(key) || key.starts_with(&self.key)
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // serde's `[1]` is a place in the list before it.
        let key = self.key.join(".").replace(".[", "[");
        write!(f, "{}: {key}: {}", self.origin, self.message)
    }
}

/// Why serde refuses a table: at which key, and in its words.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    key: Key,
    message: String,
}

/// Deserializes what can be: a setting that can't is taken out, complained about, and the rest tried again, so that
/// all errors are found in one go.
pub(super) fn deserialize(mut leaves: Leaves) -> (Config, Leaves, Vec<Located>) {
    let mut problems = Vec::new();
    loop {
        let refusal = match attempt(&leaves) {
            Ok(config) => return (config, leaves, problems),
            Err(refusal) => refusal,
        };
        let unknown = unknown_field(&refusal.message);
        let mut key = refusal.key.clone();
        match &unknown {
            Some((name, _)) if key.last() != Some(name) => key.push(name.clone()),
            Some(_) => {}
            None => key = culprit(&leaves, &refusal).unwrap_or(key),
        }
        let Some(found) = leaves.near(&key).map(|(found, _)| found.clone()) else {
            problems.push(Located { origin: Origin::Default, key, message: refusal.message });
            return (Config::default(), leaves, problems);
        };
        if unknown.is_none() && leaves.0.get_mut(&found).is_some_and(|leaf| reread(leaf, &refusal.message)) {
            continue;
        }
        problems.push(Located::of(&leaves, &key, in_words(&refusal.message)));
        leaves.0.retain(|other, _| !other.starts_with(&key) && *other != found);
    }
}

fn attempt(leaves: &Leaves) -> Result<Config, Refusal> {
    serde_path_to_error::deserialize(Value::Table(leaves.to_table())).map_err(|error| Refusal {
        key: error.path().iter().map(|part| part.to_string()).filter(|part| part != "?").collect(),
        message: error.inner().message().trim().to_owned(),
    })
}

/// The setting that is refused, where serde only names its section (as it does for sections whose keys are not
/// all known beforehand): the one without which there is no such refusal.
fn culprit(leaves: &Leaves, refusal: &Refusal) -> Option<Key> {
    let below = leaves.0.iter().filter(|(key, leaf)| {
        key.len() > refusal.key.len() && key.starts_with(&refusal.key) && leaf.origin != Origin::Default
    });
    below
        .map(|(key, _)| key)
        .find(|key| attempt(&leaves.without(key)).err().as_ref() != Some(refusal))
        .cloned()
}

/// Takes typed text another way, where the first guess was wrong: text that looked like a number, a list whose
/// items stand between commas.
fn reread(leaf: &mut Leaf, message: &str) -> bool {
    let Some(typed) = leaf.typed.clone() else { return false };
    if message.contains("expected a sequence") {
        let items = typed.split(',').map(str::trim).filter(|item| !item.is_empty());
        // Tried once: from then on what was typed is the list.
        leaf.value = Value::Array(items.map(layers::guess_value).collect());
        leaf.typed = None;
        return true;
    }
    let wants_text =
        message.rsplit_once(", expected ").is_some_and(|(_, expected)| expected.contains("string"));
    if leaf.value.is_str() || !wants_text {
        return false;
    }
    leaf.value = Value::String(typed);
    true
}
