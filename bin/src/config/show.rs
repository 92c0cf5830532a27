//! The effective configuration, each value with where it comes from.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use super::layers::{self, Key, Leaves, Origin};
use super::load::Loaded;

/// One effective setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Effective {
    /// Dotted key.
    pub(crate) key: String,
    /// The key's parts.
    #[serde(skip)]
    pub(crate) parts: Key,
    /// Its value.
    pub(crate) value: Value,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Every effective setting, by key.
pub(crate) fn effective(loaded: &Loaded) -> Vec<Effective> {
    let whole = layers::of_table(&table_of(loaded), &Origin::Default);
    whole
        .0
        .into_iter()
        .map(|(key, leaf)| Effective {
            origin: given(&loaded.given, &key),
            key: dotted(&key),
            value: leaf.value,
            parts: key,
        })
        .collect()
}

/// The same as TOML, each line with its origin.
pub(crate) fn to_toml(settings: &[Effective]) -> String {
    // By section first: TOML has each section once.
    let mut sections: BTreeMap<&[String], Vec<&Effective>> = BTreeMap::new();
    for setting in settings {
        let section = setting.parts.split_last().map_or(&[][..], |(_, section)| section);
        sections.entry(section).or_default().push(setting);
    }
    let mut text = String::new();
    for (section, settings) in sections {
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}[{}]\n", dotted(section)));
        for setting in settings {
            let name =
                setting.parts.last().map(|name| dotted(std::slice::from_ref(name))).unwrap_or_default();
            text.push_str(&format!("{name} = {}  # {}\n", setting.value, one_line(&setting.origin)));
        }
    }
    text
}

/// A key as TOML has it: parts that are no bare keys in quotes.
pub(super) fn dotted(parts: &[String]) -> String {
    let bare = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    let part = |part: &String| if bare(part) { part.clone() } else { Value::from(part.as_str()).to_string() };
    parts.iter().map(part).collect::<Vec<_>>().join(".")
}

/// A file's name, or what was typed, may have lines.
fn one_line(origin: &Origin) -> String {
    analyzer::render::escape::visible(&origin.to_string()).into_owned()
}

fn table_of(loaded: &Loaded) -> Table {
    Table::try_from(&loaded.config).unwrap_or_default()
}

fn given(leaves: &Leaves, key: &[String]) -> Origin {
    leaves.0.get(key).map_or(Origin::Default, |leaf| leaf.origin.clone())
}
