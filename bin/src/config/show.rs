//! Lists the effective settings with their origins, for `config show`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::layers::Layer;
use super::load::Loaded;
use super::origin::{Key, Origin};

/// A setting with the value that is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Effective {
    /// The dotted key, with parts in quotes where TOML needs them.
    pub(crate) key: String,
    /// The parts of `key`, without quotes.
    #[serde(skip)]
    pub(crate) parts: Key,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Returns all effective settings, ordered by key.
pub(crate) fn effective(loaded: &Loaded) -> Vec<Effective> {
    let origin =
        |key: &Key| loaded.settings.get(key).map_or(Origin::Default, |setting| setting.origin.clone());
    let table = Table::try_from(&loaded.config).unwrap_or_default();
    Layer::of_table(&table, &Origin::Default)
        .iter()
        .map(|(key, setting)| Effective {
            key: dotted(key),
            parts: key.clone(),
            value: setting.value.clone(),
            origin: origin(key),
        })
        .collect()
}

/// Formats settings as TOML, each with its origin in a comment.
pub(crate) fn to_toml(settings: &[Effective]) -> String {
    // Grouped by section, because TOML allows each section once.
    let mut sections: BTreeMap<&[String], Vec<&Effective>> = BTreeMap::new();
    for setting in settings {
        let section = setting.parts.split_last().map_or(&[][..], |(_, section)| section);
        sections.entry(section).or_default().push(setting);
    }
    let mut text = String::new();
    for (section, settings) in sections {
        let gap = if text.is_empty() { "" } else { "\n" };
        // Settings without a section come first.
        if !section.is_empty() {
            text.push_str(&format!("{gap}[{}]\n", dotted(section)));
        }
        for setting in settings {
            let name =
                setting.parts.last().map(|name| dotted(std::slice::from_ref(name))).unwrap_or_default();
            text.push_str(&format!("{name} = {}  # {}\n", setting.value, one_line(&setting.origin)));
        }
    }
    text
}

/// Formats a key as TOML: parts that are not bare keys are in quotes.
pub(super) fn dotted(parts: &[String]) -> String {
    let bare = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    let part = |part: &String| if bare(part) { part.clone() } else { Value::from(part.as_str()).to_string() };
    parts.iter().map(part).collect::<Vec<_>>().join(".")
}

/// Formats an origin without line breaks, which a file's name or a `--set` argument may contain.
fn one_line(origin: &Origin) -> String {
    analyzer::render::escape::visible(&origin.to_string()).into_owned()
}

/// A configuration in force, in both output formats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) toml: String,
    pub(crate) settings: serde_json::Value,
}

impl Running {
    /// Describes a configuration with the origin of each value.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let settings = effective(loaded);
        let toml = to_toml(&settings);
        Self { toml, settings: serde_json::to_value(settings).unwrap_or_default() }
    }
}
