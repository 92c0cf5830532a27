//! From duetector's settings to ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::super::layers::{Key, Leaf, Leaves, Origin};
use super::rules::{self, Rule, SWITCHES, So, UNKNOWN};
use super::shape::{Shape, truth};
use super::{Said, Translation, Warning, implied, lower_cased};

/// Translates a file's settings, started in that folder.
///
/// # Errors
/// What can't be what it says, each with its place.
pub(in super::super) fn translate(
    file: &Path,
    leaves: Leaves,
    folder: &Path,
) -> Result<Translation, Vec<String>> {
    let mut work = Work {
        file: lower_cased(leaves),
        folder: folder.to_owned(),
        said: BTreeMap::new(),
        warnings: Vec::new(),
        errors: Vec::new(),
    };
    let origin = Origin::Duetector(file.to_owned());
    for (key, value) in implied::implied(&work.file, folder) {
        let leaf = Leaf { value, origin: origin.clone(), typed: None };
        work.said.insert(key.clone(), Said { key, leaf, from: None });
    }
    // A section's own switch comes last, because it is stronger than those of its parts: they are the longer keys.
    let mut settings: Vec<(Key, Leaf)> = work.file.0.clone().into_iter().collect();
    settings.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
    for (key, leaf) in settings {
        work.take(key, leaf);
    }
    if !work.errors.is_empty() {
        return Err(work.errors);
    }
    work.warnings.sort();
    Ok(Translation { said: work.said.into_values().collect(), warnings: work.warnings })
}

struct Work {
    /// In duetector's words, in lower case.
    file: Leaves,
    folder: PathBuf,
    said: BTreeMap<Key, Said>,
    warnings: Vec<Warning>,
    errors: Vec<String>,
}

impl Work {
    fn take(&mut self, key: Key, leaf: Leaf) {
        // An empty section says nothing.
        if leaf.value.as_table().is_some_and(Table::is_empty) {
            return;
        }
        match rules::find(&key) {
            Some((Rule::Is(ours, shape), stood_for)) => {
                let ours: Vec<Key> = ours.iter().map(|ours| rules::fill(ours, &stood_for)).collect();
                self.say(&key, &leaf, ours, shape);
            }
            Some((Rule::SoIf(so, why), _)) => {
                if !self.is_so(&leaf.value, so) {
                    self.drop_setting(&key, &leaf, why);
                }
            }
            Some((Rule::Nothing(why), _)) => self.drop_setting(&key, &leaf, why),
            None => self.drop_setting(&key, &leaf, UNKNOWN),
        }
    }

    fn say(&mut self, key: &Key, leaf: &Leaf, ours: Vec<Key>, shape: Shape) {
        let shaped = match shape.form(&leaf.value, &self.folder) {
            Ok(shaped) => shaped,
            // It would not be looked at in duetector either.
            Err(_) if self.is_off(key) => return,
            Err(message) => {
                return self.errors.push(format!("{}: {}: {message}", leaf.origin, key.join(".")));
            }
        };
        if let Some(note) = shaped.note {
            self.warn(key, leaf, &note);
        }
        // Several may switch one thing off; none of them switches on what another has off.
        let off = |said: &Said| said.from.is_some() && said.leaf.value == Value::Boolean(true);
        let is_switch = key.last().is_some_and(|last| last == "disabled");
        let group = ours.len() > 1 || key.len() < 3;
        for ours in ours {
            let on = shaped.value == Value::Boolean(false);
            if is_switch && on && (group || self.said.get(&ours).is_some_and(off)) {
                continue;
            }
            let typed = leaf.typed.clone().filter(|_| shape == Shape::Any);
            let leaf = Leaf { value: shaped.value.clone(), origin: leaf.origin.clone(), typed };
            self.said.insert(ours.clone(), Said { key: ours, leaf, from: Some(key.clone()) });
        }
    }

    fn drop_setting(&mut self, key: &Key, leaf: &Leaf, why: &str) {
        if !self.is_off(key) {
            self.warn(key, leaf, &format!("has no equivalent and is left out: {why}"));
        }
    }

    fn warn(&mut self, key: &Key, leaf: &Leaf, message: &str) {
        let (origin, key, message) = (leaf.origin.clone(), key.clone(), message.to_owned());
        self.warnings.push(Warning { origin, key, message });
    }

    fn is_so(&self, value: &Value, so: So) -> bool {
        match so {
            So::Truth(expected) => truth(value) == Some(expected),
            So::Text(expected) => value.as_str() == Some(expected),
            So::As(other, default) => {
                let other: Key = other.split('.').map(str::to_owned).collect();
                let other = self.file.0.get(&other).and_then(|leaf| leaf.value.as_str()).unwrap_or(default);
                // Nobody said another one.
                value.as_str().is_some_and(|said| said.is_empty() || said == other)
            }
        }
    }

    /// Whether a section above this setting is switched off. Its own switch is not in what it switches.
    fn is_off(&self, key: &Key) -> bool {
        SWITCHES.iter().any(|(section, off_by_default)| {
            let mut switch: Key = section.split('.').map(str::to_owned).collect();
            let above = key.len() > switch.len() && key.starts_with(&switch);
            switch.push("disabled".to_owned());
            let off = || self.file.0.get(&switch).map_or(Some(*off_by_default), |leaf| truth(&leaf.value));
            above && *key != switch && off() == Some(true)
        })
    }
}
