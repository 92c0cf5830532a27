//! Translates settings by the rules, and collects warnings and errors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::super::layers::{Layer, Setting};
use super::super::origin::{Key, Origin, Warning, WarningKind};
use super::rules::{self, Expected, Rule, SWITCHES, UNKNOWN};
use super::shape::{Shape, truth};
use super::{Translated, Translation, implied, lower_cased};

/// Translates a file's settings. `folder` is the base of relative paths.
///
/// # Errors
/// All settings with an impossible value, each with its origin.
pub(in super::super) fn translate(
    file: &Path,
    settings: Layer,
    folder: &Path,
) -> Result<Translation, Vec<String>> {
    let mut work = Work {
        file: lower_cased(&settings),
        folder: folder.to_owned(),
        translated: BTreeMap::new(),
        warnings: Vec::new(),
        errors: Vec::new(),
    };
    let origin = Origin::Duetector(file.to_owned());
    for (key, value) in implied::implied(&work.file, folder) {
        let setting = Setting { value, origin: origin.clone(), typed: None };
        work.translated.insert(key.clone(), Translated { key, setting, from: None });
    }
    // Longer keys first: a section's `disabled` overrides those of the sections below it.
    let mut settings: Vec<(Key, Setting)> =
        work.file.iter().map(|(key, setting)| (key.clone(), setting.clone())).collect();
    settings.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
    for (key, setting) in settings {
        work.translate(&key, &setting);
    }
    if !work.errors.is_empty() {
        return Err(work.errors);
    }
    work.warnings.sort();
    Ok(Translation { settings: work.translated.into_values().collect(), warnings: work.warnings })
}

struct Work {
    /// Duetector's settings, with keys in lower case.
    file: Layer,
    folder: PathBuf,
    translated: BTreeMap<Key, Translated>,
    warnings: Vec<Warning>,
    errors: Vec<String>,
}

impl Work {
    fn translate(&mut self, key: &Key, setting: &Setting) {
        // An empty section asks for nothing.
        if setting.value.as_table().is_some_and(Table::is_empty) {
            return;
        }
        match rules::find(key) {
            Some((Rule::Is(ours, shape), matched)) => {
                let ours: Vec<Key> = ours.iter().map(|ours| rules::fill(ours, &matched)).collect();
                self.convert(key, setting, ours, shape);
            }
            Some((Rule::NothingUnless(expected, why), _)) => {
                if !self.has(&setting.value, expected) {
                    self.drop_setting(key, setting, why);
                }
            }
            Some((Rule::Nothing(why), _)) => self.drop_setting(key, setting, why),
            None => self.drop_setting(key, setting, UNKNOWN),
        }
    }

    fn convert(&mut self, key: &Key, setting: &Setting, ours: Vec<Key>, shape: Shape) {
        let shaped = match shape.form(&setting.value, &self.folder) {
            Ok(shaped) => shaped,
            // duetector does not read it either.
            Err(_) if self.is_off(key) => return,
            Err(message) => {
                return self.errors.push(format!("{}: {}: {message}", setting.origin, key.join(".")));
            }
        };
        if let Some(note) = shaped.note {
            self.warn(key, setting, &note);
        }
        // Several settings of duetector's can disable one thing; it runs only if none of them does.
        let off = |other: &Translated| other.from.is_some() && other.setting.value == Value::Boolean(true);
        let is_switch = key.last().is_some_and(|last| last == "disabled");
        let group = ours.len() > 1 || key.len() < 3;
        for ours in ours {
            let on = shaped.value == Value::Boolean(false);
            if is_switch && on && (group || self.translated.get(&ours).is_some_and(off)) {
                continue;
            }
            let typed = setting.typed.clone().filter(|_| shape == Shape::Any);
            let setting = Setting { value: shaped.value.clone(), origin: setting.origin.clone(), typed };
            let translated = Translated { key: ours.clone(), setting, from: Some(key.clone()) };
            self.translated.insert(ours, translated);
        }
    }

    fn drop_setting(&mut self, key: &Key, setting: &Setting, why: &str) {
        if !self.is_off(key) {
            self.warn(key, setting, &format!("has no equivalent and is ignored: {why}"));
        }
    }

    fn warn(&mut self, key: &Key, setting: &Setting, message: &str) {
        let (origin, key, message) = (setting.origin.clone(), key.clone(), message.to_owned());
        self.warnings.push(Warning { origin, key, message, kind: WarningKind::Duetector });
    }

    fn has(&self, value: &Value, expected: Expected) -> bool {
        match expected {
            Expected::Truth(expected) => truth(value) == Some(expected),
            Expected::Text(expected) => value.as_str() == Some(expected),
            Expected::As(other, default) => {
                let other: Key = other.split('.').map(str::to_owned).collect();
                let other = self.file.get(&other).and_then(|other| other.value.as_str()).unwrap_or(default);
                // An empty text means the other setting's value.
                value.as_str().is_some_and(|text| text.is_empty() || text == other)
            }
        }
    }

    /// Returns whether a section above this setting is disabled. A section's own `disabled` counts as outside of it.
    fn is_off(&self, key: &Key) -> bool {
        SWITCHES.iter().any(|(section, off_by_default)| {
            let mut switch: Key = section.split('.').map(str::to_owned).collect();
            let above = key.len() > switch.len() && key.starts_with(&switch);
            switch.push("disabled".to_owned());
            let off = || self.file.get(&switch).map_or(Some(*off_by_default), |switch| truth(&switch.value));
            above && *key != switch && off() == Some(true)
        })
    }
}
